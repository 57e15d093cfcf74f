//! The page on which a person enters the code and approves or denies the application.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::world::World;
use crate::world::tokens::Consent;

#[derive(Deserialize)]
pub(crate) struct Asked {
    code: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Decision {
    code: String,
    seller: String,
    #[serde(rename = "decision")]
    choice: String,
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn html(content: &str) -> HttpResponse {
    let page = format!(
        "<!doctype html><html lang=\"pl\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Skojarz aplikację</title><style>\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem;color:#222}}\
         label{{display:block;margin:1rem 0 .25rem}}input,select{{font:inherit;width:100%;padding:.5rem;box-sizing:border-box}}\
         input{{letter-spacing:.15em}}button{{font:inherit;padding:.6rem 1.2rem;margin:1.25rem .5rem 0 0;border:1px solid #888;\
         border-radius:.4rem;background:#fff;cursor:pointer}}button.yes{{background:#ff5a00;border-color:#ff5a00;color:#fff}}\
         small{{color:#666}}</style>{content}</html>"
    );
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page)
}

pub(crate) async fn ask(world: web::Data<World>, asked: web::Query<Asked>) -> HttpResponse {
    let code = asked.code.as_deref().map(escaped).unwrap_or_default();
    let mut sellers = String::new();
    for seller in &world.lock().sellers {
        let (id, login) = (escaped(&seller.id), escaped(&seller.login));
        sellers.extend(["<option value=\"", &id, "\">", &login, "</option>"]);
    }
    html(&format!(
        "<h1>Skojarz aplikację</h1><p>An application asks to read your orders and your profile. \
         <small>This is the sandbox, not Allegro.</small></p><form method=\"post\">\
         <label for=\"code\">Code shown by the application</label>\
         <input id=\"code\" name=\"code\" value=\"{code}\" placeholder=\"abc def ghi\" required autofocus>\
         <label for=\"seller\">Account</label><select id=\"seller\" name=\"seller\">{sellers}</select>\
         <button class=\"yes\" name=\"decision\" value=\"approve\">Zezwól (allow)</button>\
         <button name=\"decision\" value=\"deny\">Odmów (deny)</button></form>"
    ))
}

pub(crate) async fn decide(world: web::Data<World>, decision: web::Form<Decision>) -> HttpResponse {
    let Decision { code, seller, choice } = decision.into_inner();
    let mut state = world.lock();
    if state.seller(Some(&seller)).is_none() {
        return html("<h1>Unknown account</h1><p><a href=\"/skojarz-aplikacje\">Try again</a></p>");
    }
    let (consent, outcome) = if choice == "approve" {
        (Consent::Approved { seller }, "The application may now read your orders.")
    } else {
        (Consent::Denied, "The application was refused.")
    };
    if state.tokens.decide(&code, consent) {
        html(&format!("<h1>Gotowe</h1><p>{outcome} You may close this page.</p>"))
    } else {
        html(
            "<h1>No such code</h1><p>It is wrong, used or expired. <a href=\"/skojarz-aplikacje\">Try again</a></p>",
        )
    }
}
