//! SHA-256 of what is copied.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// Copies everything and returns its SHA-256, hexadecimal.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        sha256.update(bytes);
        to.write_all(bytes)?;
    }
    Ok(sha256
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_hashed() {
        let mut to = Vec::new();
        let hash = copy(&mut &b"abc"[..], &mut to).unwrap();
        assert_eq!(to, b"abc");
        assert_eq!(
            hash,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
