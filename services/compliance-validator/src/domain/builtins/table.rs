//! The lists: which functions are open, guarded, ours or refused.

use super::guard::{
    Guard, concat, light, no_local_zone, range, regex_replace, replace, replace_n, short_text, sprintf,
};

/// Functions whose work and result are in proportion to their arguments.
pub(super) const FREE: &[&str] = &[
    "abs", "array.reverse", "array.slice", "base64.decode", "base64.encode", "base64.is_valid",
    "base64url.decode", "base64url.encode", "base64url.encode_no_pad", "bits.and", "bits.negate", "bits.or",
    "bits.rsh", "bits.xor", "ceil", "contains", "count", "endswith", "floor", "glob.match", "glob.quote_meta",
    "hex.decode", "hex.encode", "indexof", "indexof_n", "intersection", "is_array", "is_boolean", "is_null",
    "is_number", "is_object", "is_set", "is_string", "json.is_valid", "json.unmarshal", "lower", "max", "min",
    "net.cidr_contains", "net.cidr_is_valid", "object.get", "object.keys", "object.subset", "product",
    "regex.find_n", "regex.is_valid", "regex.match", "regex.split", "round", "semver.compare",
    "semver.is_valid", "sort", "startswith", "strings.any_prefix_match", "strings.any_suffix_match",
    "strings.count", "strings.reverse", "substring", "sum", "trim", "trim_left", "trim_prefix", "trim_right",
    "trim_space", "trim_suffix", "type_name", "union", "upper", "urlquery.decode", "urlquery.decode_object",
    "urlquery.encode", "urlquery.encode_object", "uuid.parse",
];

/// Functions whose arguments are weighed first, with how many they take.
pub(super) const GUARDED: &[(&str, u8, Guard)] = &[
    ("array.concat", 2, light),
    ("concat", 2, concat),
    ("format_int", 2, light),
    ("json.filter", 2, light),
    ("json.marshal", 1, light),
    ("json.patch", 2, light),
    ("json.remove", 2, light),
    ("numbers.range", 2, range),
    ("numbers.range_step", 3, range),
    ("object.filter", 2, light),
    ("object.remove", 2, light),
    ("object.union", 2, light),
    ("object.union_n", 1, light),
    ("regex.replace", 3, regex_replace),
    ("replace", 3, replace),
    ("split", 2, light),
    ("sprintf", 2, sprintf),
    ("strings.replace_n", 2, replace_n),
    ("time.add_date", 4, no_local_zone),
    ("time.clock", 1, no_local_zone),
    ("time.date", 1, no_local_zone),
    ("time.diff", 2, no_local_zone),
    ("time.parse_duration_ns", 1, short_text),
    ("time.parse_rfc3339_ns", 1, short_text),
    ("time.weekday", 1, no_local_zone),
    ("to_number", 1, short_text),
    ("units.parse", 1, short_text),
    ("units.parse_bytes", 1, short_text),
];

/// Our own.
pub(super) const OWN: &[&str] = &["decimal.compare", "decimal.is_valid"];

/// Functions people know from elsewhere, and why they are closed here.
pub(super) const REFUSED: &[(&[&str], &str)] = &[
    (&["http.send", "net.lookup_ip_addr"], "reaches the network; a policy sees its input alone"),
    (
        &["time.now_ns", "opa.runtime"],
        "differs from run to run; what depends on the time must come in as a fact",
    ),
    (&["rand.intn", "uuid.rfc4122"], "differs from run to run, and a decision must be repeatable"),
    (&["print", "trace"], "prints where nobody reads; write a `note` and try the policy instead"),
    (
        &["walk", "graph.reachable", "graph.reachable_paths", "net.cidr_expand", "bits.lsh"],
        "can use up all memory at once; name what you look for",
    ),
];
