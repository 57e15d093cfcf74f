//! The Swagger UI page.

use crate::support::{App, problem};

#[test]
fn the_page_loads_nothing_from_other_servers() {
    let app = App::start();
    // Redirects are followed: without its slash the page would be in another folder.
    let mut page = app.get("/docs/");
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!policy.contains("http"), "{policy}");
    assert_eq!(page.headers()["content-type"], "text/html");
    let html = page.body_mut().read_to_string().unwrap();
    let places = ["src=\"", "href=\""].into_iter().flat_map(|attribute| html.split(attribute).skip(1));
    let links: Vec<&str> = places.filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() >= 5, "{html}");
    for link in links {
        let answer = app.get(&format!("/docs/{}", link.trim_start_matches("./")));
        assert_eq!(answer.status(), 200, "{link}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{link}");
    }
    let settings = app.get("/docs/swagger-initializer.js").body_mut().read_to_string().unwrap();
    assert!(settings.contains(r#""url": "/openapi.json""#), "{settings}");
    // The page would send the document to it.
    assert!(settings.contains(r#""validatorUrl": "none""#) && !settings.contains("http"), "{settings}");
    for path in ["/docs/nothing", "/docs/..%2F..%2Fetc%2Fpasswd"] {
        assert_eq!(problem(app.get(path)).0, 404, "{path}");
    }
}
