//! docs/reference/ERRORS.md, the target of every problem's `type`, is generated from the services' OpenAPI documents.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference");

const BEGINNING: &str = "# Errors

An error response is `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). Programs compare
`code`: the name and the status of a code never change. `errors` lists every invalid part of the request. `request_id`
identifies the request in the log.

`UPDATE=1 cargo xtask test -p e2e errors::` generates this page from the OpenAPI documents in [openapi](openapi).

## Without a body

A malformed HTTP/1.1 request, with or without TLS, is answered before its path, credential or request id
is known. Such a response has no body, no `X-Request-Id` and no rate limit headers, and closes the connection. A client that
is still sending may see the connection reset instead.

| status | when |
|---|---|
| 400 | The request line, a header or the framing of the body is malformed, or the request target is longer than 65,534 bytes. |
| 408 | The head has not arrived within 5 s. |
| 431 | The head is 128 KiB or longer, or has more than 96 headers. |
";

/// A code, and which services answer with it.
struct Told {
    code: Value,
    services: Vec<String>,
}

fn codes() -> BTreeMap<String, Told> {
    let mut all: BTreeMap<String, Told> = BTreeMap::new();
    let mut files: Vec<_> = std::fs::read_dir(Path::new(DOCS).join("openapi"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    for file in files {
        let service = file.file_stem().unwrap().to_string_lossy().into_owned();
        let document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for code in document["x-error-codes"].as_array().unwrap() {
            let name = code["code"].as_str().unwrap().to_owned();
            let told = all.entry(name).or_insert_with(|| Told { code: code.clone(), services: Vec::new() });
            assert_eq!(told.code, *code, "{service} means something else than {:?}", told.services);
            told.services.push(service.clone());
        }
    }
    all
}

fn page() -> String {
    let codes = codes();
    let services = codes.values().map(|told| told.services.len()).max().unwrap();
    let mut page = BEGINNING.to_owned();
    for (title, is_common) in [("Common to all services", true), ("Specific to one or more services", false)]
    {
        write!(page, "\n## {title}\n").unwrap();
        for (name, told) in codes.iter().filter(|(_, told)| (told.services.len() == services) == is_common) {
            let text = |field: &str| told.code[field].as_str().unwrap();
            write!(page, "\n### {name}\n\n{}: {}", told.code["status"], text("title")).unwrap();
            if !is_common {
                write!(page, " ({})", told.services.join(", ")).unwrap();
            }
            write!(page, ".\n\n{}\n", text("meaning")).unwrap();
        }
    }
    page
}

#[test]
fn every_code_has_its_heading() {
    let (file, page) = (Path::new(DOCS).join("ERRORS.md"), page());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == page, "docs/reference/ERRORS.md is out of date: run this test with UPDATE=1 set");
    assert!(page.contains("\n### invalid_content\n") && page.contains("\n### webhook_not_found\n"));
}
