//! The same call in six forms, ready to paste: `PROBITY_URL` and `PROBITY_TOKEN`
//! are the only things they ask of their surroundings.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// A call, as the samples need it.
pub(super) struct Call<'c> {
    pub(super) http: &'c str,
    /// The path with its query.
    pub(super) path: &'c str,
    /// The JSON body, or what is uploaded.
    pub(super) body: Option<String>,
    /// The body is no JSON but bytes.
    pub(super) upload: bool,
    /// Nobody needs a token.
    pub(super) public: bool,
    /// The key to send, where one counts.
    pub(super) key: Option<&'c str>,
    /// `package.Service/Method`.
    pub(super) rpc: &'c str,
    /// The request in the JSON of gRPC tools.
    pub(super) message: String,
}

/// All samples, as `x-codeSamples` wants them.
pub(super) fn all(call: &Call<'_>) -> Value {
    let sample = |lang: &str, label: &str, source: String| {
        let mut sample = Map::new();
        sample.insert("lang".to_owned(), json!(lang));
        sample.insert("label".to_owned(), json!(label));
        sample.insert("source".to_owned(), json!(source));
        Value::Object(sample)
    };
    Value::Array(vec![
        sample("Shell", "curl", curl(call)),
        sample("Shell", "grpcurl", grpcurl(call)),
        sample("Python", "Python", python(call)),
        sample("TypeScript", "TypeScript", typescript(call)),
        sample("Go", "Go", go(call)),
        sample("Rust", "Rust", rust(call)),
    ])
}

impl Call<'_> {
    /// The headers it needs; the token is added by each language.
    fn headers(&self) -> Vec<(&'static str, String)> {
        let kind = if self.upload { "application/octet-stream" } else { "application/json" };
        let kind = self.body.as_ref().map(|_| ("Content-Type", kind.to_owned()));
        let key = self.key.map(|key| ("Idempotency-Key", key.to_owned()));
        kind.into_iter().chain(key).collect()
    }

    fn body(&self) -> &str {
        self.body.as_deref().unwrap_or_default()
    }
}

/// In single quotes for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn curl(call: &Call<'_>) -> String {
    let mut out = format!("curl -sS -X {} \"$PROBITY_URL\"{}", call.http, quoted(call.path));
    if !call.public {
        out.push_str(" \\\n  -H \"Authorization: Bearer $PROBITY_TOKEN\"");
    }
    for (name, value) in call.headers() {
        let _ = write!(out, " \\\n  -H '{name}: {value}'");
    }
    if call.body.is_some() {
        let flag = if call.upload { "--data-binary" } else { "-d" };
        let _ = write!(out, " \\\n  {flag} {}", quoted(call.body()));
    }
    out
}

fn grpcurl(call: &Call<'_>) -> String {
    let mut out = "grpcurl -plaintext".to_owned();
    if !call.public {
        out.push_str(" -H \"authorization: Bearer $PROBITY_TOKEN\"");
    }
    if let Some(key) = call.key {
        let _ = write!(out, " \\\n  -H 'idempotency-key: {key}'");
    }
    let _ =
        write!(out, " \\\n  -d {} \\\n  \"${{PROBITY_URL#http://}}\" {}", quoted(&call.message), call.rpc);
    out
}

fn python(call: &Call<'_>) -> String {
    let mut out = "import os, urllib.request\n\nrequest = urllib.request.Request(\n".to_owned();
    let _ =
        writeln!(out, "    os.environ[\"PROBITY_URL\"] + {:?},\n    method=\"{}\",", call.path, call.http);
    if call.body.is_some() {
        let _ = writeln!(out, "    data=r\"\"\"{}\"\"\".encode(),", call.body());
    }
    out.push_str("    headers={\n");
    if !call.public {
        out.push_str("        \"Authorization\": \"Bearer \" + os.environ[\"PROBITY_TOKEN\"],\n");
    }
    for (name, value) in call.headers() {
        let _ = writeln!(out, "        \"{name}\": \"{value}\",");
    }
    out.push_str(
        "    },\n)\nwith urllib.request.urlopen(request) as answer:\n    print(answer.read().decode())",
    );
    out
}

fn typescript(call: &Call<'_>) -> String {
    let mut out = format!(
        "const answer = await fetch(process.env.PROBITY_URL + {:?}, {{\n  method: \"{}\",\n  headers: {{\n",
        call.path, call.http
    );
    if !call.public {
        out.push_str("    Authorization: `Bearer ${process.env.PROBITY_TOKEN}`,\n");
    }
    for (name, value) in call.headers() {
        let _ = writeln!(out, "    \"{name}\": \"{value}\",");
    }
    out.push_str("  },\n");
    if call.body.is_some() {
        let body = if call.upload {
            json!(call.body()).to_string()
        } else {
            format!("JSON.stringify({})", call.body().replace('\n', "\n  "))
        };
        let _ = writeln!(out, "  body: {body},");
    }
    out.push_str("});\nconsole.log(answer.status, await answer.text());");
    out
}

fn go(call: &Call<'_>) -> String {
    let body = match call.body {
        Some(_) => format!("strings.NewReader(`{}`)", call.body().replace('`', r"\u0060")),
        None => "nil".to_owned(),
    };
    let strings = if call.body.is_some() { "\n\t\"strings\"" } else { "" };
    let mut out = format!(
        "package main\n\nimport (\n\t\"fmt\"\n\t\"io\"\n\t\"net/http\"\n\t\"os\"{strings}\n)\n\nfunc main() {{\n\trequest, err := http.NewRequest(\"{}\", os.Getenv(\"PROBITY_URL\")+{:?}, {body})\n\tif err != nil {{\n\t\tpanic(err)\n\t}}\n",
        call.http, call.path
    );
    if !call.public {
        out.push_str("\trequest.Header.Set(\"Authorization\", \"Bearer \"+os.Getenv(\"PROBITY_TOKEN\"))\n");
    }
    for (name, value) in call.headers() {
        let _ = writeln!(out, "\trequest.Header.Set(\"{name}\", \"{value}\")");
    }
    out.push_str("\tanswer, err := http.DefaultClient.Do(request)\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\tdefer answer.Body.Close()\n\ttext, _ := io.ReadAll(answer.Body)\n\tfmt.Println(answer.Status, string(text))\n}");
    out
}

fn rust(call: &Call<'_>) -> String {
    let mut out = format!(
        "// cargo add reqwest --features blocking\nfn main() -> Result<(), Box<dyn std::error::Error>> {{\n    let url = std::env::var(\"PROBITY_URL\")? + {:?};\n    let answer = reqwest::blocking::Client::new()\n        .request(reqwest::Method::{}, url)\n",
        call.path, call.http
    );
    if !call.public {
        out.push_str("        .bearer_auth(std::env::var(\"PROBITY_TOKEN\")?)\n");
    }
    for (name, value) in call.headers() {
        let _ = writeln!(out, "        .header(\"{name}\", \"{value}\")");
    }
    if call.body.is_some() {
        let _ = writeln!(out, "        .body(r##\"{}\"##)", call.body());
    }
    out.push_str(
        "        .send()?;\n    println!(\"{} {}\", answer.status(), answer.text()?);\n    Ok(())\n}",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_quotes() {
        let call = Call {
            http: "POST",
            path: "/v1/cases",
            body: Some("{\"subject\": \"it's `x`\"}".to_owned()),
            upload: false,
            public: false,
            key: Some("k-1"),
            rpc: "a.B/C",
            message: "{}".to_owned(),
        };
        assert!(curl(&call).contains(r#"-d '{"subject": "it'\''s `x`"}'"#), "{}", curl(&call));
        assert!(go(&call).contains(r"it's \u0060x\u0060"), "{}", go(&call));
        assert!(python(&call).contains("Idempotency-Key"), "{}", python(&call));
        assert!(rust(&call).contains("bearer_auth"), "{}", rust(&call));
    }
}
