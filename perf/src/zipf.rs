//! Which key comes next: uniform, or Zipf with exponent theta. Needs no table, so ten million keys
//! cost what ten do.
//!
//! Zipf: rejection-inversion, W. Hörmann and G. Derflinger, "Rejection-inversion to generate
//! variates from monotone discrete distributions", ACM TOMACS 6(3), 1996.

use crate::keyspace::mix;

/// How popular the keys are.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Popularity {
    /// Every key alike.
    Uniform,
    /// The key of rank k is drawn in proportion to `1 / k^theta`.
    Zipf(f64),
}

impl std::str::FromStr for Popularity {
    type Err = String;

    /// `uniform` or `zipf:0.99`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "uniform" => Ok(Self::Uniform),
            Some(("zipf", theta)) => match theta.parse::<f64>() {
                Ok(theta) if theta > 0.0 && theta < 10.0 => Ok(Self::Zipf(theta)),
                Ok(_) | Err(_) => Err("theta is a number above 0 and below 10".into()),
            },
            None | Some(_) => Err("uniform, or zipf:THETA as in zipf:0.99".into()),
        }
    }
}

/// A small fast generator (`SplitMix64`); its quality is far above what drawing keys needs.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    #[inline]
    pub fn bits(&mut self) -> u64 {
        let value = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        value
    }

    /// Uniform in `0..bound`, without a division.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in `[0, 1)`.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws key numbers in `0..keys`.
#[derive(Clone, Debug)]
pub struct Draw {
    keys: u64,
    zipf: Option<Zipf>,
    step: u64,
}

impl Draw {
    pub fn new(keys: u64, popularity: Popularity) -> Self {
        let zipf = match popularity {
            Popularity::Uniform => None,
            Popularity::Zipf(theta) => Some(Zipf::new(keys, theta)),
        };
        Self { keys, zipf, step: coprime_step(keys) }
    }

    #[inline]
    pub fn next(&self, random: &mut Random) -> u64 {
        match &self.zipf {
            None => random.below(self.keys),
            // Popular ranks are scattered over the numbers, so that they are not neighbours in
            // whatever order the keys were loaded.
            Some(zipf) => {
                let rank = zipf.rank(random) - 1;
                ((u128::from(rank) * u128::from(self.step)) % u128::from(self.keys)) as u64
            }
        }
    }
}

/// A step near the golden section of `keys` that shares no factor with it: multiplying by it
/// permutes `0..keys`.
fn coprime_step(keys: u64) -> u64 {
    let mut step = ((keys as f64 * 0.618_033_988_749) as u64).max(1);
    while greatest_common_divisor(step, keys) != 1 {
        step += 1;
    }
    step
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Ranks 1 to n with probability in proportion to `rank^-theta`.
#[derive(Clone, Debug)]
struct Zipf {
    n: f64,
    theta: f64,
    h_x1: f64,
    h_n: f64,
    shortcut: f64,
}

impl Zipf {
    fn new(n: u64, theta: f64) -> Self {
        let h = |x: f64| integral(x, theta);
        Self {
            n: n as f64,
            theta,
            h_x1: h(1.5) - 1.0,
            h_n: h(n as f64 + 0.5),
            shortcut: 2.0 - integral_inverse(h(2.5) - (-theta * 2f64.ln()).exp(), theta),
        }
    }

    #[inline]
    fn rank(&self, random: &mut Random) -> u64 {
        // Accepts with probability above 0.8, so the expected number of rounds is below 1.3.
        loop {
            let u = self.h_n + random.unit() * (self.h_x1 - self.h_n);
            let x = integral_inverse(u, self.theta);
            let rank = x.round().clamp(1.0, self.n);
            if rank - x <= self.shortcut
                || u >= integral(rank + 0.5, self.theta) - (-self.theta * rank.ln()).exp()
            {
                return rank as u64;
            }
        }
    }
}

/// The integral of `x^-theta`, up to a constant: `(x^(1-theta) - 1) / (1 - theta)`.
#[inline]
fn integral(x: f64, theta: f64) -> f64 {
    let log = x.ln();
    expm1_over(log * (1.0 - theta)) * log
}

#[inline]
fn integral_inverse(value: f64, theta: f64) -> f64 {
    // Below -1 only by rounding.
    let t = (value * (1.0 - theta)).max(-1.0);
    (ln1p_over(t) * value).exp()
}

/// `(e^x - 1) / x`, smooth at 0 (theta = 1).
#[inline]
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x * 0.5 * (1.0 + x / 3.0) }
}

/// `ln(1 + x) / x`, smooth at 0.
#[inline]
fn ln1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x / 3.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_have_the_frequencies_of_zipf() {
        for theta in [0.5, 0.99, 1.0, 1.4] {
            const N: u64 = 100;
            const DRAWS: usize = 400_000;
            let zipf = Zipf::new(N, theta);
            let mut random = Random::new(7);
            let mut seen = [0u32; N as usize];
            for _ in 0..DRAWS {
                seen[zipf.rank(&mut random) as usize - 1] += 1;
            }
            let sum: f64 = (1..=N).map(|rank| (rank as f64).powf(-theta)).sum();
            for rank in [1u64, 2, 3, 10, 50, 100] {
                let expected = DRAWS as f64 * (rank as f64).powf(-theta) / sum;
                let got = f64::from(seen[rank as usize - 1]);
                // Five standard deviations of a Poisson count; the seed is fixed.
                assert!(
                    (got - expected).abs() < 5.0 * expected.sqrt(),
                    "theta {theta} rank {rank}: {got} for {expected}"
                );
            }
        }
    }

    #[test]
    fn every_number_can_be_drawn_and_none_beyond() {
        for popularity in [Popularity::Uniform, Popularity::Zipf(0.2)] {
            for keys in [1u64, 2, 10, 64] {
                let draw = Draw::new(keys, popularity);
                let mut random = Random::new(3);
                let mut seen = vec![false; keys as usize];
                for _ in 0..20_000 {
                    seen[draw.next(&mut random) as usize] = true;
                }
                assert!(seen.iter().all(|&hit| hit), "{popularity:?} {keys}");
            }
        }
    }

    #[test]
    fn names_parse() {
        assert_eq!("uniform".parse(), Ok(Popularity::Uniform));
        assert_eq!("zipf:0.99".parse(), Ok(Popularity::Zipf(0.99)));
        for bad in ["", "zipf", "zipf:", "zipf:-1", "zipf:nan", "gauss"] {
            assert!(bad.parse::<Popularity>().is_err(), "{bad}");
        }
    }
}
