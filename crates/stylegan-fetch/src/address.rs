use std::fmt;
use std::str::FromStr;

use ureq::http::Uri;

use crate::error::FetchError;
use crate::sum::Sum;

/// Between the address of a file and its sum.
const FRAGMENT: &str = "sha256=";

/// The `https` address of a file, with the sum of its content behind `#sha256=` where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    url: String,
    sum: Option<Sum>,
}

impl Address {
    /// Whether a text is an address, good or bad, rather than a path: whether it starts like `https://`.
    pub fn is_one(text: &str) -> bool {
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// Without the sum.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The sum that the content must have.
    pub fn sum(&self) -> Option<&Sum> {
        self.sum.as_ref()
    }
}

/// Without the sum, which says nothing to people.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl FromStr for Address {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        let wrong = |problem: String| FetchError::Address {
            address: text.to_string(),
            problem,
        };
        let (url, fragment) = match text.split_once('#') {
            Some((url, fragment)) => (url, Some(fragment)),
            None => (text, None),
        };
        let uri: Uri = url
            .parse()
            .map_err(|error| wrong(format!("is no address: {error}")))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => {
                let problem =
                    "expected an https:// address: what http:// sends can be changed on its way";
                return Err(wrong(problem.to_string()));
            }
            other => {
                let found = other.unwrap_or("none");
                return Err(wrong(format!(
                    "expected an https:// address, found {found}"
                )));
            }
        }
        if uri
            .authority()
            .is_some_and(|host| host.as_str().contains('@'))
        {
            let problem = "expected an address without a user or a password, which would be kept in the cache";
            return Err(wrong(problem.to_string()));
        }
        let sum = fragment.map(|fragment| match fragment.strip_prefix(FRAGMENT) {
            Some(digits) => digits
                .parse()
                .map_err(|problem| wrong(format!("#{FRAGMENT}: {problem}"))),
            None => Err(wrong(format!(
                "expected #{FRAGMENT} and a sum, found #{fragment}"
            ))),
        });
        Ok(Self {
            url: url.to_string(),
            sum: sum.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_paths() {
        for address in ["https://a.org/b", "http://a", "ftp://a", "HTTPS://a.org"] {
            assert!(Address::is_one(address), "{address}");
        }
        for path in [
            "runs/00000",
            "C:\\a.pkl",
            "a:b",
            "://a",
            "https:/a",
            "./a://b",
            "",
        ] {
            assert!(!Address::is_one(path), "{path}");
        }
    }

    #[test]
    fn the_sum_is_taken_off_the_address() {
        let sum = Sum::of(b"abc");
        let address: Address = format!("https://a.org/b.pkl?c=1#sha256={sum}")
            .parse()
            .unwrap();
        assert_eq!(address.url(), "https://a.org/b.pkl?c=1");
        assert_eq!(address.to_string(), address.url());
        assert_eq!(address.sum(), Some(&sum));
        let without: Address = "https://a.org/b.pkl".parse().unwrap();
        assert_eq!(without.sum(), None);
        assert!("HTTPS://a.org/b.pkl".parse::<Address>().is_ok());
    }

    #[test]
    fn every_wrong_address_says_what_is_wrong() {
        let cases = [
            (
                "http://a.org/b",
                "expected an https:// address: what http:// sends can be changed on its way",
            ),
            ("ftp://a.org/b", "expected an https:// address, found ftp"),
            ("https://", "is no address: empty string"),
            ("https://a b", "is no address: invalid uri character"),
            (
                "https://me:word@a.org/b",
                "expected an address without a user or a password, which would be kept in the cache",
            ),
            ("https://a.org/b#c", "expected #sha256= and a sum, found #c"),
            (
                "https://a.org/b#sha256=12",
                "#sha256=: expected 64 hexadecimal digits, found \"12\"",
            ),
        ];
        for (text, problem) in cases {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error.to_string(), format!("{text}: {problem}"));
        }
    }
}
