"""Writes down what Microsoft's own clients know of Azure Resource Manager, as JSON.

Of each operation: method, path, api-version, query parameters, whether it has conditions, whether
it goes on after its answer, and what its body is. Of each body: the fields by their names on the
wire, with type, whether they are needed, and whether they are the service's alone to write.

Usage: describe.py FILE
"""

import ast
import enum
import importlib
import inspect
import json
import sys
import typing

PACKAGES = ["compute", "network", "resource.resources", "authorization.v2022_04_01"]
# Of packages that an older generator wrote, the modules of the operations that are wanted.
MODULES = {"authorization.v2022_04_01": "_permissions_operations"}

models = {}


def type_of(hint, package):
    """Returns a type as JSON: a word, or a list or map of another."""
    if isinstance(hint, str):
        hint = eval(hint, vars(package) | {"_models": package})
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        rest = [it for it in arguments if it is not type(None)]
        # A value of an enumeration is a text on the wire, and clients may be given either.
        known = [it for it in rest if inspect.isclass(it) and issubclass(it, enum.Enum)]
        return type_of(known[0] if known else rest[0], package)
    if isinstance(hint, typing.ForwardRef):
        return type_of(hint.__forward_arg__, package)
    if origin in (list, typing.List):
        return {"list": type_of(arguments[0], package)}
    if origin in (dict, typing.Dict):
        return {"map": type_of(arguments[1], package)}
    if hint is str:
        return "text"
    if hint is bool:
        return "flag"
    if hint in (int, float):
        return "number"
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return "text"
    if inspect.isclass(hint) and hasattr(hint, "as_dict"):
        return {"model": describe_model(hint, package)}
    # Times and bytes are texts; what has no type of its own may be anything.
    return "text" if getattr(hint, "__module__", "") == "datetime" else "any"


def is_optional(hint):
    return type(None) in typing.get_args(hint)


def describe_model(model, package):
    name = f"{package.__name__.split('.')[2]}.{model.__name__}"
    if name in models:
        return name
    models[name] = {}
    model({})  # the names on the wire are known from the first one on
    hints = {}
    for base in reversed(model.__mro__):
        hints.update(getattr(base, "__annotations__", {}))
    fields = {}
    for attribute, field in model._attr_to_rest_field.items():
        hint = hints[attribute]
        if isinstance(hint, str):
            hint = eval(hint, vars(package) | vars(typing) | {"_models": package})
        visibility = field._visibility or []
        fields[field._rest_name] = {
            "type": type_of(hint, package),
            "needed": not is_optional(hint) and visibility != ["read"],
            "readOnly": visibility == ["read"],
        }
    models[name] = fields
    return name


def body_of(function, package):
    """Returns the model of an operation's body, by what the method that sends it is given."""
    arguments = function.args.args + function.args.kwonlyargs
    for argument in arguments:
        for node in ast.walk(argument.annotation) if argument.annotation else []:
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "_models":
                model = getattr(package, node.attr)
                if hasattr(model, "as_dict"):
                    return describe_model(model, package)
    return None


def describe_request(function):
    """Reads a function that builds a request."""
    method = path = version = None
    query, conditions = [], False
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_url":
            if isinstance(node.value, ast.Constant):
                path = node.value.value
            # The older generator lets callers have another.
            elif ast.unparse(node.value).startswith("kwargs.pop("):
                path = node.value.args[1].value
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "api_version":
            version = node.value.args[1].args[1].value
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).startswith("_params["):
            query.append(node.targets[0].slice.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "prep_if_match":
            conditions = True
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "HttpRequest":
            method = next(it.value.value for it in node.keywords if it.arg == "method")
    return method, path, version, query, conditions


def describe_package(name):
    package = importlib.import_module(f"azure.mgmt.{name}.models")
    module = MODULES.get(name, "_operations")
    module = importlib.import_module(f"azure.mgmt.{name}.operations.{module}")
    tree = ast.parse(inspect.getsource(module))
    requests = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("build_")
    }
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for function in node.body:
            if not isinstance(function, ast.FunctionDef):
                continue
            built = [
                call.func.id
                for call in ast.walk(function)
                if isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id in requests
            ]
            if not built or function.name.startswith("begin_"):
                continue
            method, path, version, query, conditions = describe_request(requests[built[0]])
            if not (method and path and version):
                continue
            operation = function.name.removeprefix("_").removesuffix("_initial")
            yield {
                "name": f"{node.name.strip('_').removesuffix('Operations')}.{operation}",
                "method": method,
                "path": path,
                "version": version,
                "query": sorted(set(query)),
                "conditions": conditions,
                "body": body_of(function, package)
                if method in ("PUT", "PATCH", "POST")
                else None,
            }


def main():
    operations = [operation for name in PACKAGES for operation in describe_package(name)]
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"operations": operations, "models": models}, file, sort_keys=True)


main()
