//! Lists of numbers and ranges, such as `--seeds`, and `--grid`.

use std::str::FromStr;

/// More than anyone wants, less than what a mistyped range would allocate.
const MOST: u64 = 1_000_000;

/// Seeds from a list such as `0-15,85`, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(pub Vec<u32>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        numbers(text).map(Self)
    }
}

/// Other numbers, written like seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbers(pub Vec<u32>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        numbers(text).map(Self)
    }
}

/// The numbers of a list such as `0-15,85`, in the order given.
pub fn numbers(text: &str) -> Result<Vec<u32>, String> {
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if last < first {
            return Err(format!(
                "the range {part} ends before it starts; write {last}-{first}"
            ));
        }
        if numbers.len() as u64 + u64::from(last - first) >= MOST {
            return Err(format!("more than {MOST} numbers"));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

fn number(text: &str) -> Result<u32, String> {
    let parsed = text.trim().parse();
    parsed.map_err(|_| {
        format!(
            "\"{text}\" is not a number from 0 to {}; write e.g. 0-15,85",
            u32::MAX
        )
    })
}

/// Columns and rows of a picture grid, `CxR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridSize {
    pub cols: usize,
    pub rows: usize,
}

impl FromStr for GridSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (cols, rows) = text.split_once('x')?;
            let (cols, rows) = (cols.parse().ok()?, rows.parse().ok()?);
            (1..=1000).contains(&cols).then_some(())?;
            (1..=1000).contains(&rows).then_some(Self { cols, rows })
        };
        parse().ok_or_else(|| "expected COLUMNSxROWS, each from 1 to 1000, such as 8x4".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_of_seeds_parse_in_order() {
        let parse = |text: &str| text.parse::<Seeds>().map(|s| s.0);
        assert_eq!(parse("7"), Ok(vec![7]));
        assert_eq!(parse("1,2,5-8"), Ok(vec![1, 2, 5, 6, 7, 8]));
        assert_eq!(parse("85, 3-3"), Ok(vec![85, 3]));
        assert_eq!(parse("4294967295"), Ok(vec![u32::MAX]));
    }

    #[test]
    fn wrong_seeds_are_errors_that_say_what_to_write() {
        let error = |text: &str| text.parse::<Seeds>().unwrap_err();
        assert_eq!(
            error("5-1"),
            "the range 5-1 ends before it starts; write 1-5"
        );
        assert!(error("1,,2").starts_with("\"\" is not a number"));
        assert!(error("a").contains("write e.g. 0-15,85"));
        assert!(error("-3").starts_with("\"\" is not a number"));
        assert_eq!(error("0-4294967295"), "more than 1000000 numbers");
    }

    #[test]
    fn grids_are_columns_by_rows() {
        assert_eq!("8x4".parse(), Ok(GridSize { cols: 8, rows: 4 }));
        for wrong in ["8", "0x4", "8x", "8*4", "9999x1"] {
            assert!(wrong.parse::<GridSize>().is_err(), "{wrong}");
        }
    }
}
