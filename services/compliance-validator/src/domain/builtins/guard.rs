//! Weighs the arguments of functions that can make much out of little.

use regorus::Value;

/// Looks at the arguments before the function does.
pub(super) type Guard = fn(&[Value]) -> Result<(), String>;

/// Heaviest arguments and results, in bytes of text; each value counts for some.
const MAX_WEIGHT: usize = 1024 * 1024;
/// What a value counts for beside its text.
const VALUE: usize = 16;
/// Longest text that is read as a number or a time.
const MAX_SHORT_TEXT: usize = 1_000;
/// Most numbers in a range.
const MAX_RANGE: i64 = 10_000;

/// The weight of values; the same value counts each time it occurs, as it would
/// in a text.
fn weigh(values: &[Value]) -> Result<usize, String> {
    let mut weight = 0_usize;
    let mut waiting: Vec<&Value> = values.iter().collect();
    while let Some(value) = waiting.pop() {
        weight += VALUE + own(value)?;
        match value {
            Value::Array(items) => waiting.extend(items.iter()),
            Value::Set(items) => waiting.extend(items.iter()),
            Value::Object(fields) => waiting.extend(fields.iter().flat_map(|(key, value)| [key, value])),
            _ => {}
        }
        // What waits has weight too: so the list of it stays short as well.
        bound(weight + waiting.len().saturating_mul(VALUE))?;
    }
    Ok(weight)
}

fn own(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) => Ok(text.len()),
        // Beyond what a double can hold a number has hundreds of digits.
        Value::Number(_) if value.as_f64().is_err() && value.as_i64().is_err() && value.as_u64().is_err() => {
            Err("a number is too large".to_owned())
        }
        _ => Ok(0),
    }
}

fn bound(weight: usize) -> Result<(), String> {
    if weight > MAX_WEIGHT {
        return Err(format!("the values are too large, at most {MAX_WEIGHT} bytes"));
    }
    Ok(())
}

fn text(value: Option<&Value>) -> &str {
    match value {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

pub(super) fn light(args: &[Value]) -> Result<(), String> {
    weigh(args).map(drop)
}

pub(super) fn short_text(args: &[Value]) -> Result<(), String> {
    light(args)?;
    if args.iter().any(|arg| text(Some(arg)).len() > MAX_SHORT_TEXT) {
        return Err(format!("the text is too long, at most {MAX_SHORT_TEXT} bytes"));
    }
    Ok(())
}

pub(super) fn concat(args: &[Value]) -> Result<(), String> {
    let weight = weigh(args)?;
    let pieces = match args.get(1) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Set(items)) => items.len(),
        _ => 0,
    };
    bound(weight.saturating_add(pieces.saturating_mul(text(args.first()).len())))
}

pub(super) fn replace(args: &[Value]) -> Result<(), String> {
    let weight = weigh(args)?;
    let longest = replaced(text(args.first()).len(), text(args.get(1)).len(), text(args.get(2)).len());
    bound(weight.saturating_add(longest))
}

/// The longest text there can be after a replacement.
const fn replaced(len: usize, old: usize, new: usize) -> usize {
    let old = if old == 0 { 1 } else { old };
    len.saturating_add((len / old).saturating_add(1).saturating_mul(new))
}

pub(super) fn replace_n(args: &[Value]) -> Result<(), String> {
    weigh(args)?;
    let Some(Value::Object(pairs)) = args.first() else { return Ok(()) };
    let lengths = pairs.iter().map(|(old, new)| (text(Some(old)).len(), text(Some(new)).len()));
    bound(lengths.fold(text(args.get(1)).len(), |len, (old, new)| replaced(len, old, new)))
}

/// The replacement may repeat what was found.
pub(super) fn regex_replace(args: &[Value]) -> Result<(), String> {
    weigh(args)?;
    let (len, new) = (text(args.first()).len(), text(args.get(2)).len());
    bound((len + 1).saturating_mul(new + 1).saturating_mul(2))
}

pub(super) fn range(args: &[Value]) -> Result<(), String> {
    let ends = args.iter().take(2).map(Value::as_i64).collect::<Result<Vec<_>, _>>();
    let span = match ends.as_deref() {
        Ok([from, to]) => to.checked_sub(*from),
        _ => return Err("the ends must be whole numbers".to_owned()),
    };
    match span {
        Some(span) if span.checked_abs().is_some_and(|span| span < MAX_RANGE) => Ok(()),
        _ => Err(format!("at most {MAX_RANGE} numbers")),
    }
}

/// A width such as `%1000000d` makes a text of that length.
pub(super) fn sprintf(args: &[Value]) -> Result<(), String> {
    weigh(args)?;
    for directive in text(args.first()).split('%').skip(1) {
        let width = directive.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        if width > 3 {
            return Err("a width has at most 3 digits".to_owned());
        }
    }
    Ok(())
}

/// `Local` is whatever the machine is set to.
pub(super) fn no_local_zone(args: &[Value]) -> Result<(), String> {
    light(args)?;
    let zones = args.iter().filter_map(|arg| arg.as_array().ok()).flat_map(|items| items.iter());
    if zones.chain(args).any(|value| text(Some(value)) == "Local") {
        return Err("the zone `Local` differs from machine to machine; name the zone".to_owned());
    }
    Ok(())
}
