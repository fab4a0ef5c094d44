//! The model file: a header, the weights that are not zero, a checksum.
//!
//! All numbers are little-endian. A weight is one byte: its square root in 127
//! steps of the largest, so that small weights keep their digits. Buckets are
//! written as distances from the one before, seven bits a byte.

use super::{Model, Training};
use crate::domain::features::{BUCKET_BITS, BUCKETS};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"PRBSPAM1";
const CHECKSUM_BYTES: usize = 32;
/// Steps of the weight byte.
const STEPS: f32 = 127.0;

/// Why a file is no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadModel {
    /// It does not begin like one.
    #[error("this is no model file of this version: it begins with other bytes than PRBSPAM1")]
    Magic,
    /// The checksum at its end does not fit.
    #[error("the model file is damaged: its checksum does not fit")]
    Checksum,
    /// It ends too early.
    #[error("the model file ends too early")]
    Truncated,
    /// It was made for another feature space.
    #[error("the model file has 2^{found} buckets and this build reads 2^{BUCKET_BITS}: train it again")]
    Space {
        /// What the file says.
        found: u32,
    },
    /// A number in it makes no sense.
    #[error("the model file holds an impossible {what}: train it again")]
    Nonsense {
        /// Which.
        what: &'static str,
    },
}

pub(super) fn encode(weights: &[f32], intercept: f64, training: &Training) -> Vec<u8> {
    let largest = weights.iter().fold(f32::MIN_POSITIVE, |max, w| max.max(w.abs()));
    let steps: Vec<(usize, i8)> = weights
        .iter()
        .enumerate()
        .map(|(bucket, weight)| (bucket, step(*weight, largest)))
        .filter(|(_, step)| *step != 0)
        .collect();
    let mut out = Vec::with_capacity(steps.len() * 3 + 128);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&BUCKET_BITS.to_le_bytes());
    out.extend_from_slice(&training.time_us.to_le_bytes());
    out.extend_from_slice(&training.messages.to_le_bytes());
    let Training { auc, false_positive_rate, recall, ham_below, spam_from, .. } = *training;
    for number in [auc, false_positive_rate, recall, ham_below, spam_from, intercept] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&largest.to_le_bytes());
    out.extend_from_slice(&u32::try_from(steps.len()).unwrap_or(u32::MAX).to_le_bytes());
    let mut last = 0;
    for (bucket, step) in steps {
        distance(bucket - last, &mut out);
        out.push(step.cast_unsigned());
        last = bucket;
    }
    let checksum = Sha256::digest(&out);
    out.extend_from_slice(&checksum);
    out
}

#[allow(clippy::cast_possible_truncation)] // within ±127 by construction
fn step(weight: f32, largest: f32) -> i8 {
    let size = (STEPS * (weight.abs() / largest).sqrt()).round().min(STEPS);
    (size * weight.signum()) as i8
}

fn worth(largest: f32) -> [f32; 256] {
    let mut table = [0.0; 256];
    for (byte, slot) in (0_u8..=255).zip(table.iter_mut()) {
        let step = f32::from(byte.cast_signed());
        *slot = step.signum() * largest * (step / STEPS).powi(2);
    }
    table[0] = 0.0;
    table
}

#[allow(clippy::cast_possible_truncation)] // masked to seven bits
fn distance(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn decode(bytes: &[u8]) -> Result<Model, BadModel> {
    if !bytes.starts_with(MAGIC) {
        return Err(BadModel::Magic);
    }
    let body_len = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(BadModel::Truncated)?;
    let (body, checksum) = bytes.split_at(body_len);
    if Sha256::digest(body).as_slice() != checksum {
        return Err(BadModel::Checksum);
    }
    let mut input = Input(body.get(MAGIC.len()..).unwrap_or_default());
    let found = u32::from_le_bytes(input.take()?);
    if found != BUCKET_BITS {
        return Err(BadModel::Space { found });
    }
    let training = input.training()?;
    let intercept = input.f64()?;
    let largest = f32::from_le_bytes(input.take()?);
    let count = u32::from_le_bytes(input.take()?);
    if !intercept.is_finite() || !largest.is_finite() {
        return Err(BadModel::Nonsense { what: "weight" });
    }
    let steps = input.steps(count)?;
    Ok(Model { version: version(bytes), training, intercept, steps, worth: worth(largest) })
}

fn version(file: &[u8]) -> String {
    Sha256::digest(file).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadModel> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(BadModel::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn f64(&mut self) -> Result<f64, BadModel> {
        Ok(f64::from_le_bytes(self.take()?))
    }

    fn training(&mut self) -> Result<Training, BadModel> {
        let training = Training {
            time_us: i64::from_le_bytes(self.take()?),
            messages: u64::from_le_bytes(self.take()?),
            auc: self.f64()?,
            false_positive_rate: self.f64()?,
            recall: self.f64()?,
            ham_below: self.f64()?,
            spam_from: self.f64()?,
        };
        let sound =
            0.0 < training.ham_below && training.ham_below < training.spam_from && training.spam_from < 1.0;
        sound.then_some(training).ok_or(BadModel::Nonsense { what: "threshold" })
    }

    fn steps(&mut self, count: u32) -> Result<Vec<i8>, BadModel> {
        let mut steps = vec![0_i8; BUCKETS];
        let mut bucket = 0_usize;
        for _ in 0..count {
            bucket = bucket.saturating_add(self.distance()?);
            let [step] = self.take()?;
            *steps.get_mut(bucket).ok_or(BadModel::Nonsense { what: "bucket" })? = step.cast_signed();
        }
        Ok(steps)
    }

    fn distance(&mut self) -> Result<usize, BadModel> {
        let mut value = 0_usize;
        for shift in (0..28).step_by(7) {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(BadModel::Nonsense { what: "bucket" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training() -> Training {
        Training { time_us: 1, messages: 2, auc: 0.9, ham_below: 0.2, spam_from: 0.9, ..Training::default() }
    }

    fn file() -> Vec<u8> {
        let mut weights = vec![0.0; BUCKETS];
        weights[3] = 2.0;
        weights[300] = -0.5;
        weights[BUCKETS - 1] = 0.001;
        encode(&weights, -1.5, &training())
    }

    #[test]
    fn what_is_written_is_read() {
        let model = decode(&file()).unwrap();
        assert_eq!(model.training(), &training());
        assert_eq!(model.weights(), 3);
        assert!((model.intercept() + 1.5).abs() < 1e-9);
        let weight = |bucket: usize| model.worth[usize::from(model.steps[bucket].cast_unsigned())];
        assert!((weight(3) - 2.0).abs() < 1e-6);
        assert!((weight(300) + 0.5).abs() < 0.01);
        assert!((weight(BUCKETS - 1) - 0.001).abs() < 0.0003);
        assert_eq!(model.version().len(), 12);
    }

    #[test]
    fn damaged_files_are_refused() {
        let check = |change: &dyn Fn(&mut Vec<u8>), expect: BadModel| {
            let mut bytes = file();
            change(&mut bytes);
            assert_eq!(decode(&bytes).unwrap_err(), expect);
        };
        let sealed = |bytes: &mut Vec<u8>, change: &dyn Fn(&mut Vec<u8>)| {
            bytes.truncate(bytes.len() - CHECKSUM_BYTES);
            change(bytes);
            let sum = Sha256::digest(&*bytes);
            bytes.extend_from_slice(&sum);
        };
        check(&|b| b.clear(), BadModel::Magic);
        check(&|b| b.truncate(20), BadModel::Truncated);
        check(&|b| b[40] ^= 1, BadModel::Checksum);
        check(&|b| sealed(b, &|b| b[8] = 9), BadModel::Space { found: 9 });
        check(&|b| sealed(b, &|b| b.truncate(60)), BadModel::Truncated);
        check(&|b| sealed(b, &|b| b.truncate(b.len() - 1)), BadModel::Truncated);
        let far = |b: &mut Vec<u8>| b.extend_from_slice(&[0xff; 8]);
        check(
            &|b| {
                sealed(b, &|b| {
                    b[84] = 9;
                    far(b)
                })
            },
            BadModel::Nonsense { what: "bucket" },
        );
        let threshold = |b: &mut Vec<u8>| b[52..60].copy_from_slice(&2.0_f64.to_le_bytes());
        check(&|b| sealed(b, &|b| threshold(b)), BadModel::Nonsense { what: "threshold" });
    }
}
