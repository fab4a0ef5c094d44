//! A policy as it is written in a configuration: a preset's name or a table.

use super::Codes;
use super::policy::{DOUBLE, Jitter, Policy, Preset};
use crate::time::millis;
use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    max_attempts: u32,
    base_ms: u64,
    cap_ms: u64,
    #[serde(default = "double", skip_serializing_if = "is_double")]
    multiplier_percent: u32,
    #[serde(default)]
    codes: Codes,
    #[serde(default)]
    jitter: Jitter,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_total_ms: Option<u64>,
}

const fn double() -> u32 {
    DOUBLE
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
const fn is_double(percent: &u32) -> bool {
    *percent == DOUBLE
}

impl From<Table> for Policy {
    fn from(table: Table) -> Self {
        Self {
            max_attempts: table.max_attempts,
            base: Duration::from_millis(table.base_ms),
            cap: Duration::from_millis(table.cap_ms),
            multiplier_percent: table.multiplier_percent,
            codes: table.codes,
            jitter: table.jitter,
            max_total: table.max_total_ms.map(Duration::from_millis),
        }
    }
}

impl From<&Policy> for Table {
    fn from(policy: &Policy) -> Self {
        Self {
            max_attempts: policy.max_attempts,
            base_ms: millis(policy.base),
            cap_ms: millis(policy.cap),
            multiplier_percent: policy.multiplier_percent,
            codes: policy.codes,
            jitter: policy.jitter,
            max_total_ms: policy.max_total.map(millis),
        }
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match Preset::ALL.into_iter().find(|preset| preset.policy() == *self) {
            Some(preset) => serializer.serialize_str(preset.name()),
            None => Table::from(self).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = Policy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "quick, standard, aggressive, rate_limited or a table with max_attempts, base_ms and cap_ms",
        )
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Policy, E> {
        let found = Preset::ALL.into_iter().find(|preset| preset.name() == name);
        found.map(Preset::policy).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Policy, A::Error> {
        let policy = Policy::from(Table::deserialize(MapAccessDeserializer::new(map))?);
        policy.validate().map_err(A::Error::custom)?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Section {
        retry: Policy,
    }

    #[test]
    fn a_name_or_a_table() {
        let check = |text: &str, expect: Result<Policy, &str>| match (toml::from_str::<Section>(text), expect)
        {
            (Ok(section), Ok(policy)) => assert_eq!(section.retry, policy),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, expect) => panic!("{text}: {got:?} is not {expect:?}"),
        };
        for preset in Preset::ALL {
            check(&format!("retry = {:?}", preset.name()), Ok(preset.policy()));
        }
        let own = Policy { max_attempts: 7, max_total: None, ..Policy::STANDARD };
        check("retry = { max_attempts = 7, base_ms = 1000, cap_ms = 30000 }", Ok(own));
        check("retry = { max_attempts = 0, base_ms = 1000, cap_ms = 30000 }", Err("max_attempts is 0"));
        check(
            "retry = { max_attempts = 7, base_ms = 1000, cap_ms = 30000, x = 1 }",
            Err("unknown field `x`"),
        );
        check("retry = { max_attempts = 7 }", Err("missing field `base_ms`"));
        check("retry = \"often\"", Err("expected quick, standard, aggressive, rate_limited"));
        check("retry = 3", Err("expected quick"));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let own = Policy { max_attempts: 7, jitter: Jitter::None, ..Policy::STANDARD };
        let codes = Codes::parse(["UNAVAILABLE", "ABORTED"]).unwrap();
        let other = Policy { multiplier_percent: 150, codes, ..Policy::STANDARD };
        for retry in [Policy::QUICK, own, other] {
            let section = Section { retry };
            assert_eq!(toml::from_str::<Section>(&toml::to_string(&section).unwrap()).unwrap(), section);
        }
    }
}
