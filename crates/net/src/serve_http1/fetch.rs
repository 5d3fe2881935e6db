//! A request that the origin is asked about: its body goes there, interim responses come back, and
//! then the answer.

use std::{
    io,
    pin::{Pin, pin},
    rc::Rc,
};

use bytes::Bytes;
use http::StatusCode;
use nigh_cache::flight::{INTERIM_MAX, Interim};
use nigh_edge::cache_status::CacheStatus;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc},
    time::Instant,
};

use super::{
    Connection,
    answer::Out,
    begin::Fetching,
    body::{BodyRefused, pump_body},
    io::send,
    output::{Framed, write_interim, write_upgrade},
    pipeline::{LookAhead, Turns},
};
use crate::{
    body::{Pump, RequestBody},
    http1::{self, Framing, write},
    service::{Answer, Ask, CONTINUE_WAIT},
    sites::Route,
    tunnel,
};

/// What the answer to a request that was passed on needs to know of it.
pub(super) struct Asked {
    pub(super) framed: Framed,
    pub(super) interim: mpsc::Receiver<Interim>,
    /// What the log will say of it, if there is one.
    pub(super) logged: Option<Rc<Ask>>,
    pub(super) route: Route,
    pub(super) since: Instant,
}

/// What is read while an answer is waited for and sent.
pub(super) enum Meanwhile<'a> {
    /// Nothing: the next request has to wait.
    Nothing,
    /// The request's own body.
    Body(Upload),
    /// The requests behind it, into their turns; and this one's key.
    Requests(&'a Turns, &'a [u8]),
}

/// What went wrong with reading.
enum Failed {
    Body(BodyRefused),
    Connection(io::Error),
}

/// A body that is still to be read.
pub(super) struct Upload {
    body: http1::Body,
    pump: Pump,
    /// The client waits for the word to send it.
    waiting: bool,
}

impl<S> Connection<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Asks the origin and sends its answer; says whether the connection stays open.
    pub(super) async fn fetch(&mut self, fetching: Fetching) -> io::Result<bool> {
        let Fetching { ask, work, framing, framed, expect_continue } = fetching;
        let service = Rc::clone(&self.service);
        let body = http1::Body::new(framing, &service.limits().http1);
        let (meanwhile, request_body) = if body.is_ended() {
            (Meanwhile::Nothing, RequestBody::Empty)
        } else {
            let length = if let Framing::Length(length) = framing { Some(length) } else { None };
            let (pump, request_body) = RequestBody::pumped(length);
            (Meanwhile::Body(Upload { body, pump, waiting: expect_continue }), request_body)
        };
        let (interims, interim) = mpsc::channel(INTERIM_MAX);
        let logged = service.is_logging().then(|| Rc::clone(&ask));
        let route = ask.route.clone();
        let asked = Asked { framed, interim, logged, route, since: Instant::now() };
        let answering = pin!(service.answer(ask, work, request_body, interims));
        self.finish(asked, answering, meanwhile).await
    }

    /// Sends the answer to a request that is being passed on; says whether the connection stays open.
    pub(super) async fn finish(
        &mut self,
        asked: Asked,
        mut answering: Pin<&mut impl Future<Output = Answer>>,
        meanwhile: Meanwhile<'_>,
    ) -> io::Result<bool> {
        let _under_way = self.service.begin();
        self.flush().await?;
        let Asked { mut framed, mut interim, logged, route, since } = asked;
        let service = Rc::clone(&self.service);
        let limits = service.limits();
        let go = Notify::new();
        let mut waiting = matches!(&meanwhile, Meanwhile::Body(upload) if upload.waiting);
        if !waiting {
            go.notify_one();
        }
        let turns =
            if let Meanwhile::Requests(turns, _) = &meanwhile { Some(*turns) } else { None };
        let is_followed = || turns.is_some_and(|turns| !turns.borrow().is_empty());
        let Self { stream, client, input, progress, output, timer, flow, buffers, .. } = self;
        let flow = &*flow;
        let (mut reader, mut writer) = tokio::io::split(&mut *stream);
        let may_follow = framed.persistent;
        let mut pumped = !matches!(meanwhile, Meanwhile::Body(_));
        let mut read = matches!(meanwhile, Meanwhile::Nothing);
        let mut refused = None;
        let sent = 'answered: {
            let mut reading = pin!(async {
                match meanwhile {
                    Meanwhile::Body(Upload { mut body, pump, .. }) => {
                        let rule = route.rule();
                        pump_body(&mut reader, input, &mut body, pump, &go, &limits, rule)
                            .await
                            .map_err(Failed::Body)
                    }
                    Meanwhile::Requests(turns, key) if may_follow => {
                        let ahead = LookAhead { turns, key, client: *client, service: &service };
                        ahead.run(&mut reader, input, progress).await.map_err(Failed::Connection)
                    }
                    Meanwhile::Requests(..) | Meanwhile::Nothing => Ok(()),
                }
            });
            let mut patience = pin!(tokio::time::sleep(CONTINUE_WAIT));
            let answer = loop {
                tokio::select! {
                    biased;
                    Some(interim) = interim.recv() => {
                        if interim.status == StatusCode::CONTINUE {
                            if std::mem::take(&mut waiting) {
                                output.0.extend_from_slice(write::CONTINUE);
                                go.notify_one();
                            }
                        } else if framed.http1_1 {
                            write_interim(&interim, output);
                        }
                        send(&mut writer, timer, flow, &mut output.0, Bytes::new()).await?;
                    }
                    // Before the answer: a body that has ended leaves the connection open.
                    done = &mut reading, if !read => {
                        (read, pumped) = (true, true);
                        match done {
                            Ok(()) => {}
                            Err(Failed::Body(why)) => {
                                if matches!(why, BodyRefused::Late) {
                                    service.counters().slow_client();
                                }
                                refused = Some(why);
                            }
                            // Nobody is left to be answered.
                            Err(Failed::Connection(error)) => {
                                if let Some(ask) = &logged {
                                    service.log(&ask.gone(since.elapsed()));
                                }
                                return Err(error);
                            }
                        }
                    }
                    answer = &mut answering => break answer,
                    () = &mut patience, if waiting => {
                        waiting = false;
                        output.0.extend_from_slice(write::CONTINUE);
                        send(&mut writer, timer, flow, &mut output.0, Bytes::new()).await?;
                        go.notify_one();
                    }
                }
            };
            // Those that came in one piece with the head.
            while let Ok(interim) = interim.try_recv() {
                if framed.http1_1 && interim.status != StatusCode::CONTINUE {
                    write_interim(&interim, output);
                }
            }
            // A client that was never told to go on may or may not send its body, and a body that was
            // refused has no end: nobody can tell what the next bytes are. Nor is it known, of an answer
            // that comes before the body's end, whether that ever comes.
            framed.persistent &= pumped
                && !waiting
                && refused.is_none()
                && (is_followed() || !service.is_draining());
            if let Answer::Upgraded(upgraded) = answer {
                write_upgrade(&upgraded, &service, output, &mut buffers.text);
                send(&mut writer, timer, flow, &mut output.0, Bytes::new()).await?;
                if let Some(ask) = &logged {
                    let status = StatusCode::SWITCHING_PROTOCOLS;
                    service.log(&ask.line(status, 0, upgraded.status, since.elapsed()));
                }
                break 'answered Err(upgraded);
            }
            let answer = match refused {
                Some(refusal) => Answer::Problem(refusal.problem(), CacheStatus::EMPTY),
                None => answer,
            };
            let out = Out { writer: &mut writer, timer, flow, output };
            let mut sending = pin!(out.answer(answer, &mut framed, &service, &mut buffers.text));
            loop {
                tokio::select! {
                    biased;
                    sent = &mut sending => break Ok(sent),
                    done = &mut reading, if !read => (read, pumped) = (true, done.is_ok()),
                }
            }
        };
        let (outcome, record) = match sent {
            Ok(sent) => sent,
            Err(upgraded) => {
                let idle = limits.tunnel_idle;
                tunnel::run(stream, input.unread(), upgraded.upgrade, idle, flow.pace.as_ref())
                    .await;
                drop(upgraded.reserved);
                return Ok(false);
            }
        };
        route.answered(&record.cache, record.bytes);
        if let Some(ask) = &logged {
            service.log(&ask.line(record.status, record.bytes, record.cache, since.elapsed()));
        }
        outcome?;
        Ok(framed.persistent && pumped)
    }
}
