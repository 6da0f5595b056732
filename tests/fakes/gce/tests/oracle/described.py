"""Holds answers of Compute Engine against the schemas that the API describes them by."""

import base64
import datetime

WHOLE = {"int32": 32, "int64": 64, "uint32": 32, "uint64": 64}


class Description:
    """The API's description of itself, and which of its calls were held against it."""

    def __init__(self, document):
        self.schemas = document["schemas"]
        self.answers = {}
        self.seen = {}
        for resource in document["resources"].values():
            for method in resource.get("methods", {}).values():
                self.answers[method["id"]] = method.get("response", {}).get("$ref")

    def holds(self, method, answer):
        """Asserts that an answer of a method is as described, all of it."""
        self._of({"$ref": self.answers[method]}, answer, method)
        self.seen[method] = self.seen.get(method, 0) + 1

    def report(self):
        """Says which calls were held against the description."""
        for method, count in sorted(self.seen.items()):
            print(f"{count:>5}  {method}")

    def _of(self, schema, value, place):
        if "$ref" in schema:
            name = schema["$ref"]
            self._fields(self.schemas[name], value, f"{place} {name}")
            return
        kind, form = schema["type"], schema.get("format")
        if kind == "object":
            self._fields(schema, value, place)
        elif kind == "array":
            assert isinstance(value, list), f"{place}: {value!r} is no list"
            for index, item in enumerate(value):
                self._of(schema["items"], item, f"{place}[{index}]")
        elif kind == "boolean":
            assert isinstance(value, bool), f"{place}: {value!r} is no boolean"
        elif kind == "integer":
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            assert is_whole, f"{place}: {value!r} is no integer"
            self._fits(form, value, place)
        elif kind == "number":
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            assert is_number, f"{place}: {value!r} is no number"
        elif kind == "string":
            assert isinstance(value, str), f"{place}: {value!r} is no string"
            self._text(schema, form, value, place)
        else:
            assert kind == "any", f"{place}: the description says {kind}"

    def _fields(self, schema, value, place):
        assert isinstance(value, dict), f"{place}: {value!r} is no object"
        known, each = schema.get("properties", {}), schema.get("additionalProperties")
        for field, item in value.items():
            described = known.get(field, each)
            assert described, f"{place}.{field}: {item!r}: there is no such field"
            self._of(described, item, f"{place}.{field}")

    def _text(self, schema, form, value, place):
        allowed = schema.get("enum")
        assert not allowed or value in allowed, f"{place}: {value!r} is none of {allowed}"
        if form in WHOLE:
            assert value.lstrip("-").isdigit(), f"{place}: {value!r} is no number"
            self._fits(form, int(value), place)
        elif form == "byte":
            base64.b64decode(value, altchars=b"-_" if set(value) & set("-_") else None, validate=True)
        elif place.endswith("Timestamp") or place.endswith("Time"):
            datetime.datetime.fromisoformat(value)

    @staticmethod
    def _fits(form, number, place):
        bits = WHOLE.get(form)
        if bits and form.startswith("u"):
            assert 0 <= number < 2**bits, f"{place}: {number} is no {form}"
        elif bits:
            assert -(2 ** (bits - 1)) <= number < 2 ** (bits - 1), f"{place}: {number} is no {form}"
