//! A local Telegram: takes messages as the Bot API does, and answers what a test wants it to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Post {
    /// `/bot<token>/sendMessage`
    pub path: String,
    /// The chat it is for.
    pub chat_id: i64,
    /// The message's text.
    pub text: String,
    /// Everything.
    pub body: Value,
    /// What was answered; `None` when nothing was.
    pub status: Option<u16>,
}

type Answer = Box<dyn Fn(&Post) -> Option<(u16, Value)> + Send>;

/// A running server. Ends with the value.
pub struct Telegram {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    posts: Arc<Mutex<Vec<Post>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Telegram {
    /// Starts one that takes every message.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start() -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").expect("a free port"));
        let posts = Arc::<Mutex<Vec<Post>>>::default();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(|_post| Some(taken()))));
        let (serving, kept, answering) = (Arc::clone(&server), Arc::clone(&posts), Arc::clone(&answer));
        let thread = std::thread::spawn(move || {
            // Requests nobody answers stay open, as those of a server that hangs.
            let mut open = Vec::new();
            for mut request in serving.incoming_requests() {
                let mut post = read(&mut request);
                let reply = locked(&answering)(&post);
                post.status = reply.as_ref().map(|(status, _)| *status);
                locked(&kept).push(post);
                match reply {
                    // The client may have gone meanwhile.
                    Some((status, body)) => drop(request.respond(response(status, &body))),
                    None => open.push(request),
                }
            }
        });
        Self { server, thread: Some(thread), posts, answer }
    }

    /// Its address, as a setting takes it.
    ///
    /// # Panics
    /// Never: it listens on TCP.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.server_addr().to_ip().expect("an IP address"))
    }

    /// From now on it answers so; `None` leaves the client waiting. A body that is a string is sent as it is.
    pub fn answer(&self, answer: impl Fn(&Post) -> Option<(u16, Value)> + Send + 'static) {
        *locked(&self.answer) = Box::new(answer);
    }

    /// From now on it takes every message.
    pub fn take(&self) {
        self.answer(|_post| Some(taken()));
    }

    /// Everything that came in.
    pub fn posts(&self) -> Vec<Post> {
        locked(&self.posts).clone()
    }

    /// The messages that are in a chat.
    pub fn texts(&self, chat_id: i64) -> Vec<String> {
        let taken = self.posts().into_iter().filter(|it| it.chat_id == chat_id && it.status == Some(200));
        taken.map(|post| post.text).collect()
    }
}

impl Drop for Telegram {
    fn drop(&mut self) {
        self.server.unblock();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the local Telegram panicked");
    }
}

fn taken() -> (u16, Value) {
    (200, json!({ "ok": true, "result": { "message_id": 1 } }))
}

fn read(request: &mut Request) -> Post {
    let body: Value = serde_json::from_reader(request.as_reader()).unwrap_or_default();
    Post {
        path: request.url().to_owned(),
        chat_id: body["chat_id"].as_i64().unwrap_or_default(),
        text: body["text"].as_str().unwrap_or_default().to_owned(),
        body,
        status: None,
    }
}

fn response(status: u16, body: &Value) -> Response<std::io::Cursor<Vec<u8>>> {
    let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let kind = Header::from_bytes("Content-Type", "application/json").expect("a header");
    Response::from_string(text).with_status_code(status).with_header(kind)
}

fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
