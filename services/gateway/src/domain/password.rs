//! Passwords: what is one, and the hashes of them.
//!
//! New ones are hashed with Argon2id as RFC 9106 recommends where memory counts
//! (64 MiB, three passes, four lanes, 16 bytes of salt, 32 of hash) and kept as PHC
//! strings. Hashes of bcrypt (`$2a$`, `$2b$`, `$2y$`) are verified too: whoever logs
//! in with one gets one of Argon2id. Written down here, not taken from a library,
//! are only the lines that read and write a PHC string: they hold what a hash may
//! cost against limits, so that no hash from a file can take the memory of the
//! process.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as B64;
use subtle::ConstantTimeEq as _;

/// Shortest and longest password in characters.
pub const LENGTH: (usize, usize) = (12, 256);
/// Most memory of a hash in KiB, most passes, most lanes.
const MOST: (u32, u32, u32) = (1 << 20, 16, 16);
/// Costs of bcrypt that are verified; each step doubles the time.
const BCRYPT_COST: std::ops::RangeInclusive<u32> = 4..=15;
const SALT: usize = 16;
const HASH: usize = 32;

/// What hashing costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// The second recommendation of RFC 9106, section 4.
pub const RECOMMENDED: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

impl Cost {
    /// What cannot be computed, or only at the cost of everything else.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn check(self) -> Result<Self, String> {
        let (memory, passes, lanes) = MOST;
        let fits = (8 * self.lanes..=memory).contains(&self.memory_kib)
            && (1..=passes).contains(&self.passes)
            && (1..=lanes).contains(&self.lanes);
        if fits {
            return Ok(self);
        }
        Err(format!("Argon2 takes 8 KiB a lane to {memory} KiB, 1 to {passes} passes, 1 to {lanes} lanes"))
    }

    fn hash(self, password: &str, salt: &[u8]) -> Result<[u8; HASH], String> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH));
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(|e| e.to_string())?);
        let mut out = [0; HASH];
        argon.hash_password_into(password.as_bytes(), salt, &mut out).map_err(|e| e.to_string())?;
        Ok(out)
    }
}

/// The PHC string of a password.
///
/// # Errors
/// When there is not enough memory.
pub fn hash(password: &str, salt: [u8; SALT], cost: Cost) -> Result<String, String> {
    let out = cost.hash(password, &salt)?;
    let Cost { memory_kib, passes, lanes } = cost;
    Ok(format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${}${}", B64.encode(salt), B64.encode(out)))
}

/// The hash of a password that nobody has: random bytes in the place of one.
#[must_use]
pub fn of_nobody(salt: [u8; SALT], random: [u8; HASH], cost: Cost) -> Stored {
    Stored::Argon2(cost, salt.to_vec(), random.to_vec())
}

/// A hash that can be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Argon2id: what it cost, the salt, the hash.
    Argon2(Cost, Vec<u8>, Vec<u8>),
    /// Bcrypt, as it is.
    Bcrypt(String),
}

impl Stored {
    /// Reads a hash.
    ///
    /// # Errors
    /// Says which hashes can be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            "must be $argon2id$v=19$m=…,t=…,p=…$SALT$HASH, or $2a$, $2b$ or $2y$ of bcrypt".to_owned();
        if ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            return bcrypt_text(text).ok_or(wrong);
        }
        let rest = text.strip_prefix("$argon2id$v=19$").ok_or_else(|| wrong.clone())?;
        let parts: Vec<_> = rest.split('$').collect();
        let [cost, salt, hash] = parts.as_slice() else { return Err(wrong) };
        let cost = read_cost(cost).ok_or_else(|| wrong.clone())?.check()?;
        let bytes =
            |text: &str, least: usize| B64.decode(text).ok().filter(|b| (least..=64).contains(&b.len()));
        match (bytes(salt, 8), bytes(hash, 16)) {
            (Some(salt), Some(hash)) if hash.len() == HASH => Ok(Self::Argon2(cost, salt, hash)),
            _ => Err(wrong),
        }
    }

    /// Whether this is the password. Takes as long for a wrong one as for the right
    /// one.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn is(&self, password: &str) -> Result<bool, String> {
        match self {
            Self::Argon2(cost, salt, hash) => Ok(cost.hash(password, salt)?.as_slice().ct_eq(hash).into()),
            // bcrypt ends at a NUL and after 72 bytes, here as where it was made
            Self::Bcrypt(text) => Ok(bcrypt::verify(password, text).unwrap_or(false)),
        }
    }

    /// Whether a new hash of the same password would be better.
    #[must_use]
    pub fn is_outdated(&self, cost: Cost) -> bool {
        !matches!(self, Self::Argon2(own, salt, _) if *own == cost && salt.len() == SALT)
    }
}

fn bcrypt_text(text: &str) -> Option<Stored> {
    let (cost, rest) = text.get(4..)?.split_once('$')?;
    let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
    let cost: u32 = cost.parse().ok()?;
    (rest.len() == 53 && plain && BCRYPT_COST.contains(&cost)).then(|| Stored::Bcrypt(text.to_owned()))
}

fn read_cost(text: &str) -> Option<Cost> {
    let mut parts = text.split(',');
    let mut number = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    let cost = Cost { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
    parts.next().is_none().then_some(cost)
}

/// Whether a password may be set: long enough, and not what everybody tries first.
///
/// # Errors
/// Says what is wrong with it, never what it was.
pub fn check(password: &str, actor: &str) -> Result<(), String> {
    let (least, most) = LENGTH;
    let count = password.chars().count();
    if !(least..=most).contains(&count) {
        return Err(format!("must have {least} to {most} characters"));
    }
    if password.chars().any(char::is_control) {
        return Err("must have no control characters".to_owned());
    }
    let name = actor.rsplit('/').next().unwrap_or(actor);
    let plain = password.to_lowercase();
    if name.len() > 3 && plain.contains(&name.to_lowercase()) {
        return Err("must not contain the name of the account".to_owned());
    }
    let mut kinds: Vec<_> = plain.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.len() < 5 {
        return Err("must have at least five different characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 2 };

    #[test]
    fn a_hash_knows_its_password() {
        let text = hash("correct horse", [7; 16], CHEAP).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=64,t=1,p=2$"), "{text}");
        let stored = Stored::parse(&text).unwrap();
        assert_eq!((stored.is("correct horse"), stored.is("correct horse ")), (Ok(true), Ok(false)));
        assert!(!stored.is_outdated(CHEAP) && stored.is_outdated(RECOMMENDED));
    }

    /// Made by the reference implementation (`argon2 somesalt -id -t 2 -m 16 -p 1`, its
    /// own test vector).
    #[test]
    fn hashes_of_others_are_read() {
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert_eq!(Stored::parse(text).unwrap().is("password"), Ok(true));
        let bcrypt = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";
        let stored = Stored::parse(bcrypt).unwrap();
        assert_eq!((stored.is("password"), stored.is("Password")), (Ok(true), Ok(false)));
        assert!(stored.is_outdated(RECOMMENDED));
    }

    #[test]
    fn other_hashes_are_refused() {
        let good = hash("x", [7; 16], CHEAP).unwrap();
        for bad in [
            "",
            "password",
            "$1$abc$def",
            "$argon2i$v=19$m=64,t=1,p=2$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
            "$2b$31$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe",
            "$2b$05$short",
            "$2b$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZF$e",
            &good.replace("m=64", "m=4294967295"),
            &good.replace("m=64", "m=8"),
            &good.replace("t=1", "t=1000000"),
            &good.replace("p=2", "p=2,x=1"),
            &good[..good.len() - 1],
            &format!("{good}$"),
        ] {
            assert!(Stored::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_everybody_tries_first_is_no_password() {
        let check = |password: &str, part: &str| match super::check(password, "users/olga") {
            Ok(()) => assert_eq!(part, "", "{password}"),
            Err(why) => assert!(!part.is_empty() && why.contains(part), "{password}: {why}"),
        };
        check("correct horse battery", "");
        check("päßwörter sind länger", "");
        check("short", "12 to 256");
        check(&"abcdefgh".repeat(40), "12 to 256");
        check("i am Olga and who are you", "name of the account");
        check("aaaaaaaaaaaaaaaa", "five different");
        check("correct horse\nbattery", "control");
    }
}
