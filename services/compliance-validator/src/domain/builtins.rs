//! The functions a policy may call.
//!
//! A policy may call what is listed in [`table`] and nothing else: what the
//! interpreter adds in a later version stays closed until somebody has looked at
//! it. Functions that can make much out of little go through a guard that
//! weighs the arguments first, because the interpreter's clock does not tick
//! inside a function.
//!
//! Two functions are ours: `decimal.compare(a, b)` and `decimal.is_valid(a)`,
//! because amounts are decimal texts and Rego's numbers are not exact.

mod guard;
mod table;

use guard::Guard;
use probity_types::money::parse_amount;
use regorus::{Engine, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Why a function may not be called; nothing when it may.
#[must_use]
pub fn why_not(name: &str) -> Option<&'static str> {
    let known = table::FREE.contains(&name) || table::GUARDED.iter().any(|(n, ..)| *n == name);
    if known || table::OWN.contains(&name) {
        return None;
    }
    let refused = table::REFUSED.iter().find(|(names, _)| names.contains(&name));
    Some(refused.map_or("is not known; see the list of functions in the authoring guide", |(_, why)| *why))
}

/// Puts the guards and our own functions before the interpreter's.
///
/// # Errors
/// When the interpreter knows one of them already.
pub fn install(engine: &mut Engine) -> anyhow::Result<()> {
    for (name, arity, guard) in table::GUARDED {
        let call = move |args: Vec<Value>| guarded(name, *guard, args);
        engine.add_extension((*name).to_owned(), *arity, Box::new(call))?;
    }
    engine.add_extension("decimal.compare".to_owned(), 2, Box::new(|args: Vec<Value>| compare(&args)))?;
    engine.add_extension("decimal.is_valid".to_owned(), 1, Box::new(|args: Vec<Value>| Ok(is_valid(&args))))
}

/// An extension hides the function of the same name, so an engine of its own
/// calls the original once the arguments have passed.
static ORIGINALS: LazyLock<BTreeMap<&'static str, Engine>> = LazyLock::new(|| {
    let made = table::GUARDED.iter().map(|(name, arity, _)| Ok((*name, original(name, *arity)?)));
    made.filter_map(|made: anyhow::Result<_>| made.ok()).collect()
});

/// The rule of the engine around an original function.
const CALL: &str = "data.original.call";

fn original(name: &str, arity: u8) -> anyhow::Result<Engine> {
    let args: Vec<_> = (0..arity).map(|i| format!("input[{i}]")).collect();
    let mut engine = Engine::new();
    engine.add_policy(
        "original.rego".to_owned(),
        format!("package original\ncall := {name}({})", args.join(", ")),
    )?;
    engine.compile_with_entrypoint(&CALL.into())?;
    Ok(engine)
}

fn guarded(name: &str, guard: Guard, args: Vec<Value>) -> anyhow::Result<Value> {
    guard(&args).map_err(|why| anyhow::anyhow!("{name}: {why}"))?;
    let original = ORIGINALS.get(name).ok_or_else(|| anyhow::anyhow!("{name} is not there"))?;
    let mut engine = original.clone();
    engine.set_input(Value::from(args));
    engine.eval_rule(CALL.to_owned()).map_err(|error| {
        let message = format!("{error:#}");
        let reason = message.rsplit("error: ").next().unwrap_or_default();
        anyhow::anyhow!("{name}: {reason}")
    })
}

fn compare(args: &[Value]) -> anyhow::Result<Value> {
    let [a, b] = args else { anyhow::bail!("decimal.compare takes two decimals") };
    let read = |value| decimal(value).map_err(|why| anyhow::anyhow!("decimal.compare: {why}"));
    let order = read(a)?.cmp(&read(b)?);
    Ok(Value::from(i64::from(order as i8)))
}

fn is_valid(args: &[Value]) -> Value {
    Value::from(args.first().is_some_and(|value| decimal(value).is_ok()))
}

/// A decimal text, or a whole number: a number with a fraction has lost digits
/// before it arrives here.
fn decimal(value: &Value) -> Result<impl Ord + use<>, String> {
    match value {
        Value::String(text) => parse_amount(text),
        _ => match value.as_i64() {
            Ok(whole) => Ok(whole.into()),
            Err(_) => Err("write amounts as text, such as \"1250.00\"".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests;
