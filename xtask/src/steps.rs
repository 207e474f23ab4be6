//! Numbers that a figure has from the left to the right, such as `--psi` and `--strengths`.

use std::str::FromStr;

/// Numbers in the order given.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps(pub Vec<f64>);

/// More than fit side by side.
const MOST: usize = 1000;

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "expected FROM:TO:COUNT with 2 to {MOST} steps, such as -3:3:7, or up to {MOST} \
                 numbers, such as -2,0,2"
            )
        };
        let number = |text: &str| {
            let number = text.trim().parse().ok().filter(|n: &f64| n.is_finite());
            number.ok_or_else(wrong)
        };
        let parts: Vec<&str> = text.split(':').collect();
        let numbers = match parts[..] {
            [list] => list.split(',').map(number).collect::<Result<Vec<_>, _>>()?,
            [from, to, count] => {
                let count: usize = count.trim().parse().map_err(|_| wrong())?;
                if !(2..=MOST).contains(&count) {
                    return Err(wrong());
                }
                evenly(number(from)?, number(to)?, count)
            }
            _ => return Err(wrong()),
        };
        match numbers.len() {
            1..=MOST => Ok(Self(numbers)),
            _ => Err(wrong()),
        }
    }
}

/// Both ends are met exactly, and so is 0 in the middle of opposite ones.
fn evenly(from: f64, to: f64, count: usize) -> Vec<f64> {
    let last = (count - 1) as f64;
    let step = |i: usize| (from * (last - i as f64) + to * i as f64) / last;
    (0..count).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ranges_or_lists() {
        let parse = |text: &str| text.parse::<Steps>().map(|steps| steps.0);
        assert_eq!(parse("-3:3:7"), Ok(vec![-3., -2., -1., 0., 1., 2., 3.]));
        assert_eq!(parse("0.1:0.3:2"), Ok(vec![0.1, 0.3]));
        assert_eq!(parse("2"), Ok(vec![2.]));
        assert_eq!(parse("1, -0.5,0"), Ok(vec![1., -0.5, 0.]));
        for wrong in [
            "", "a", "1:2", "1:2:1", "1:2:3:4", "1,,2", "inf", "0:1:9999", "0:1:-2",
        ] {
            assert_eq!(
                parse(wrong).unwrap_err(),
                "expected FROM:TO:COUNT with 2 to 1000 steps, such as -3:3:7, or up to 1000 numbers, such as -2,0,2",
                "{wrong}"
            );
        }
    }
}
