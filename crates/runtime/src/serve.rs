//! `serve`: starts the parts of the roles of a process.

use std::sync::Arc;

use alerts::Sender;
use chassis::ServeContext;
use messaging::{Broker, RETAIN_EVENTS, Relay};
use tasks::{Runner, Scheduler};
use web::{Idempotency, RETAIN_ANSWERS};

use crate::dead_letters;
use crate::platform::{Platform, ServiceConfig, Settings, alert_settings};
use crate::{Assembled, Infra, Parts, Service};

/// Returns when the HTTP server is bound and every part runs.
pub(crate) async fn serve<S: Service>(
    settings: Settings<S::Config>,
    context: ServeContext,
) -> anyhow::Result<()> {
    let Settings { platform: Platform { database, amqp, encryption, alerts }, own } = settings;
    let life = context.lifecycle.clone();
    let broker = Broker::new(&amqp.url, S::NAME)?;
    let infra = Infra::open::<S>(&database, encryption)?;
    let redis = own.redis().map(|redis| redis.url.clone());
    let parts = S::parts(own, infra.clone())?;
    let Infra { pool, clock, ids, keyring } = infra;
    let guard = pool.guard(S::SCHEMA, &keyring).await?;
    life.spawn_beside("database guard", |end| guard.run(end));
    life.spawn("corrupt rows", alerts::report_corrupt_rows(pool.clone(), life.stopping()));
    let Parts { state, handlers, schedules, retention, .. } = parts;
    if context.roles.worker {
        let mut policies = vec![RETAIN_ANSWERS, tasks::RETENTION, alerts::RETENTION];
        if let Some(start) = parts.consumer {
            policies.push(RETAIN_EVENTS);
            life.spawn("consumer", start(broker.clone(), pool.clone(), life.stopping()));
            let dead = dead_letters::watch(S::NAME, broker.clone(), pool.clone(), life.stopping());
            life.spawn("dead letters", dead);
        }
        policies.extend(retention);
        for (name, start) in parts.workers {
            life.spawn(name, start(life.stopping()));
        }
        let settings = tasks::Settings {
            workers: parts.tasks_at_once,
            queues: context.queues.clone(),
            silence: parts.task_silence,
            ..tasks::Settings::default()
        };
        life.spawn("tasks", Runner::new(pool.clone(), handlers, settings).run(life.stopping()));
        let sender = Sender::new(pool.clone(), alert_settings(S::NAME, alerts))?;
        life.spawn("alerts", sender.run(life.stopping()));
        life.spawn("clear corrupt rows", alerts::clear_corrupt_rows(pool.clone(), life.stopping()));
        let relay = Relay::new(S::NAME, database.url, broker.clone());
        life.spawn("relay", relay.run(life.stopping()));
        life.spawn("housekeeping", pg::housekeeping(pool.clone(), policies, life.stopping()));
    }
    if context.roles.scheduler {
        let scheduler = Scheduler::new(pool.clone(), ids, schedules);
        life.spawn("scheduler", scheduler.run(life.stopping()));
    }
    for (name, start) in parts.everywhere {
        life.spawn(name, start(life.stopping()));
    }
    let idempotency = Idempotency::new(pool.clone(), keyring, Arc::clone(&clock));
    let health = parts.health.required("postgres", &pool, |pool| async move { pool.ping().await }).required(
        "rabbitmq",
        &broker,
        |broker| async move { broker.ping().await },
    );
    Ok(web::listen::<Assembled<S>>(context, redis.as_ref(), |server| {
        server.health(health).state(Arc::unwrap_or_clone(state)).state(idempotency).routes(move |routes| {
            tasks::http::routes(routes, S::TASKS_AT, &pool);
            (S::ROUTES.register)(routes);
        })
    })?)
}
