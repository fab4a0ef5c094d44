//! Inputs from inputs: what AFL calls havoc and splicing, with words.

/// Longest input.
const MAX: usize = 16 * 1024;
/// Values at which numbers break.
const EDGES: [&str; 10] = [
    "0",
    "-1",
    "1e999",
    "9223372036854775807",
    "-9223372036854775809",
    "18446744073709551616",
    "0.1",
    "1E-400",
    "NaN",
    "00",
];
/// Characters at which texts break: NUL, a byte order mark, an override of the
/// direction, a combining accent, half a pair, one past Unicode, an escape.
const BYTES: [&[u8]; 10] = [
    b"\0",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\xcc\x81",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\x1b[31m",
    b"\r\n",
    b"\xff",
    b"%00",
];

/// Makes inputs, the same ones for the same seed.
pub struct Mutator {
    dice: fastrand::Rng,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
}

impl Mutator {
    /// Mutations of `seeds`.
    #[must_use]
    pub fn new(seed: u64, seeds: Vec<Vec<u8>>, words: &'static [&'static str]) -> Self {
        Self { dice: fastrand::Rng::with_seed(seed), seeds, words }
    }

    /// The next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick_seed();
        for _ in 0..1 << self.dice.u32(0..5) {
            self.change(&mut input);
        }
        input.truncate(MAX);
        input
    }

    fn pick_seed(&mut self) -> Vec<u8> {
        let at = self.dice.usize(..self.seeds.len());
        self.seeds[at].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.dice.usize(..=input.len());
        let until = (at + self.dice.usize(..=64)).min(input.len());
        match self.dice.u8(..11) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.dice.u8(..8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.dice.u8(..);
                }
            }
            2 => drop(input.drain(at..until)),
            3 => {
                let piece = input[at..until].to_vec();
                insert(input, at, &piece.repeat(self.dice.usize(1..=8)));
            }
            4 => {
                let edge = EDGES[self.dice.usize(..EDGES.len())];
                insert(input, at, edge.as_bytes());
            }
            5 => {
                let bytes = BYTES[self.dice.usize(..BYTES.len())];
                insert(input, at, bytes);
            }
            6 | 7 if !self.words.is_empty() => {
                let word = self.words[self.dice.usize(..self.words.len())];
                insert(input, at, word.as_bytes());
            }
            8 => {
                let other = self.pick_seed();
                let from = self.dice.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            9 => self.replace_number(input),
            10 => input.truncate(at),
            _ => {
                let other = self.pick_seed();
                let from = self.dice.usize(..=other.len());
                let to = (from + self.dice.usize(..=128)).min(other.len());
                insert(input, at, &other[from..to]);
            }
        }
    }

    /// A number of the input becomes one at which numbers break.
    fn replace_number(&mut self, input: &mut Vec<u8>) {
        let at = self.dice.usize(..=input.len());
        let Some(from) = input[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) else {
            return;
        };
        let length = input[from..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let edge = EDGES[self.dice.usize(..EDGES.len())];
        input.splice(from..from + length, edge.bytes());
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if input.len() + piece.len() <= 2 * MAX {
        input.splice(at..at, piece.iter().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_many_of_them() {
        let make = |seed| {
            let mut mutator = Mutator::new(seed, vec![b"{\"a\": 12}".to_vec(), vec![]], &["null"]);
            (0..500).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        let different: std::collections::HashSet<_> = make(1).into_iter().collect();
        assert!(different.len() > 300, "{}", different.len());
        assert!(make(1).iter().all(|input| input.len() <= MAX));
    }
}
