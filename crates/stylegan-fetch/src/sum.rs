use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes of a SHA-256 sum.
const BYTES: usize = 32;

/// The SHA-256 sum of a content, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sum([u8; BYTES]);

impl Sum {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// Adds all that a reader has; returns how much it was.
pub(crate) fn feed(hasher: &mut Sha256, mut reader: impl Read) -> io::Result<u64> {
    let mut block = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match reader.read(&mut block)? {
            0 => return Ok(bytes),
            read => {
                hasher.update(&block[..read]);
                bytes += read as u64;
            }
        }
    }
}

impl From<Sha256> for Sum {
    fn from(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Sum> for String {
    fn from(sum: Sum) -> Self {
        sum.to_string()
    }
}

impl TryFrom<String> for Sum {
    type Error = String;

    fn try_from(digits: String) -> Result<Self, String> {
        digits.parse()
    }
}

impl FromStr for Sum {
    type Err = String;

    fn from_str(digits: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected {} hexadecimal digits, found {digits:?}",
                2 * BYTES
            )
        };
        if digits.len() != 2 * BYTES || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(expected());
        }
        let mut sum = [0; BYTES];
        for (i, byte) in sum.iter_mut().enumerate() {
            let pair = digits.get(2 * i..2 * i + 2).ok_or_else(expected)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| expected())?;
        }
        Ok(Self(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standard_and_read_what_they_write() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sum::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Sum::of(b"abc")));
        assert_eq!(abc.to_uppercase().parse(), Ok(Sum::of(b"abc")));
    }

    #[test]
    fn what_is_no_sum_is_named() {
        let long = "é".repeat(32);
        for wrong in ["", "abc", "+".repeat(64).as_str(), &long] {
            let error = wrong.parse::<Sum>().unwrap_err();
            let expected = format!("expected 64 hexadecimal digits, found {wrong:?}");
            assert_eq!(error, expected);
        }
    }
}
