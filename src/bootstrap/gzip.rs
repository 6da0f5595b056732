//! Gzip whose bytes depend on the content alone.
//!
//! The packed text is part of the user-data, and a machine whose user-data
//! changed is replaced. So the compressor must not change with the cargo
//! features of other crates, as `flate2`'s does, nor put the time in its header.

use miniz_oxide::deflate::compress_to_vec;

/// Deflate's slowest and best.
const LEVEL: u8 = 9;

/// Magic, deflate, no flags, no time, slowest compression, unknown system (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];

/// Compresses bytes.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    out.extend(compress_to_vec(bytes, LEVEL));
    out.extend(crc32fast::hash(bytes).to_le_bytes());
    // The size is stored modulo 2^32.
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn gunzip_gives_the_bytes_back() {
        for bytes in [&b""[..], b"a", &[0, 255, 10, 13], &vec![b'x'; 100_000]] {
            let packed = gzip(bytes);
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice())
                .read_to_end(&mut back)
                .unwrap();
            assert_eq!(back, bytes);
        }
    }

    /// When this fails, a newer compressor packs differently, and every machine
    /// whose user-data has a packed part will be seen as changed: say so in the
    /// release notes, and only then change the number.
    #[test]
    fn packed_bytes_are_the_same_in_every_build() {
        let text: String = (0..400)
            .map(|n| format!("line {n} of {}\n", n * n))
            .collect();
        let digest = Sha256::digest(gzip(text.as_bytes()));
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digest,
            "9891742b2f535804a2dd9441b8cda9f8c2057912d3e1a48afedeefd7e2420ed5"
        );
    }
}
