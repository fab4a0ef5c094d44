//! `grpc.testing.TestService` as a service of the platform: what a call to any of
//! them passes is what a call to it passes. Its messages, as far as its cases need
//! them, are written out here; they are in no contract of ours.

use axum::response::IntoResponse as _;
use axum::routing::post;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt as _;
use probity_runtime::{Service, ServiceConfig, Setup};
use prost::Message;
use std::time::Duration;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// What an unary or the full-duplex call sends back of what came with it.
const INITIAL: HeaderName = HeaderName::from_static("x-grpc-test-echo-initial");
const TRAILING: HeaderName = HeaderName::from_static("x-grpc-test-echo-trailing-bin");
/// Who answered, for the case that asks whether it is always the same one.
const SERVER_ID: &str = "the only one";
/// Largest message of a case, with room.
const LARGEST: usize = 4 << 20;

#[derive(Clone, PartialEq, Message)]
struct Empty {}

#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct EchoStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, Message)]
struct SimpleRequest {
    #[prost(int32, tag = "2")]
    response_size: i32,
    #[prost(message, optional, tag = "3")]
    payload: Option<Payload>,
    #[prost(message, optional, tag = "7")]
    response_status: Option<EchoStatus>,
    #[prost(bool, tag = "9")]
    fill_server_id: bool,
}

#[derive(Clone, PartialEq, Message)]
struct SimpleResponse {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
    #[prost(string, tag = "4")]
    server_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct StreamingInputRequest {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamingInputResponse {
    #[prost(int32, tag = "1")]
    aggregated_payload_size: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseParameters {
    #[prost(int32, tag = "1")]
    size: i32,
    #[prost(int32, tag = "2")]
    interval_us: i32,
}

#[derive(Clone, PartialEq, Message)]
struct StreamingOutputRequest {
    #[prost(message, repeated, tag = "2")]
    response_parameters: Vec<ResponseParameters>,
    #[prost(message, optional, tag = "3")]
    payload: Option<Payload>,
    #[prost(message, optional, tag = "7")]
    response_status: Option<EchoStatus>,
}

#[derive(Clone, PartialEq, Message)]
struct StreamingOutputResponse {
    #[prost(message, optional, tag = "1")]
    payload: Option<Payload>,
}

type Outputs = BoxStream<'static, Result<StreamingOutputResponse, Status>>;

/// The service. It runs under the name of one that the gateway may call.
pub(super) struct TestService;

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl ServiceConfig for Nothing {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Service for TestService {
    const NAME: &'static str = "spam-detection";
    const PACKAGES: &'static [&'static str] = &["grpc.testing"];
    type Config = Nothing;

    async fn build(_: Nothing, _: &mut Setup) -> anyhow::Result<Self> {
        Ok(Self)
    }

    fn routes(self) -> Routes {
        let router = Routes::default()
            .into_axum_router()
            .route("/grpc.testing.TestService/EmptyCall", post(empty))
            .route("/grpc.testing.TestService/UnaryCall", post(unary))
            .route("/grpc.testing.TestService/StreamingInputCall", post(streaming_input))
            .route("/grpc.testing.TestService/StreamingOutputCall", post(streaming_output))
            .route("/grpc.testing.TestService/FullDuplexCall", post(full_duplex))
            .route("/grpc.testing.TestService/HalfDuplexCall", post(full_duplex));
        Routes::from(router)
    }
}

/// A door that takes what a request brings along to its end before it answers.
pub(super) struct Taker;

impl Service for Taker {
    const NAME: &'static str = "gateway";
    const PACKAGES: &'static [&'static str] = &[];
    const DOOR: bool = true;
    type Config = Nothing;

    async fn build(_: Nothing, _: &mut Setup) -> anyhow::Result<Self> {
        Ok(Self)
    }

    fn routes(self) -> Routes {
        Routes::from(axum::Router::new().fallback(take))
    }
}

async fn take(body: axum::body::Body) -> Result<&'static str, StatusCode> {
    body.collect().await.map(|_| "taken whole").map_err(|_| StatusCode::BAD_REQUEST)
}

type In = http::Request<axum::body::Body>;
type Out = axum::response::Response;

fn server<I, O>() -> Grpc<ProstCodec<O, I>>
where
    I: Message + Default + 'static,
    O: Message + Default + 'static,
{
    Grpc::new(ProstCodec::<O, I>::default()).max_decoding_message_size(LARGEST)
}

async fn empty(request: In) -> Out {
    let answer = service_fn(async |_: Request<Empty>| Ok::<_, Status>(Response::new(Empty {})));
    server().unary(answer, request).await.into_response()
}

async fn unary(request: In) -> Out {
    let echo = Echo::of(request.headers());
    let answer = service_fn(async |request: Request<SimpleRequest>| {
        let request = request.into_inner();
        asked_for(request.response_status)?;
        let server_id = if request.fill_server_id { SERVER_ID } else { "" }.to_owned();
        Ok(Response::new(SimpleResponse { payload: Some(zeros(request.response_size)?), server_id }))
    });
    echo.into(server().unary(answer, request).await)
}

async fn streaming_input(request: In) -> Out {
    let answer = service_fn(async |request: Request<Streaming<StreamingInputRequest>>| {
        let mut messages = request.into_inner();
        let mut sum = 0;
        while let Some(message) = messages.message().await? {
            sum += message.payload.map_or(0, |payload| payload.body.len());
        }
        let sum = i32::try_from(sum).map_err(|_| Status::out_of_range("too much"))?;
        Ok::<_, Status>(Response::new(StreamingInputResponse { aggregated_payload_size: sum }))
    });
    server().client_streaming(answer, request).await.into_response()
}

async fn streaming_output(request: In) -> Out {
    let answer = service_fn(async |request: Request<StreamingOutputRequest>| {
        let outputs: Outputs = outputs(request.into_inner()).boxed();
        Ok::<_, Status>(Response::new(outputs))
    });
    server().server_streaming(answer, request).await.into_response()
}

async fn full_duplex(request: In) -> Out {
    let echo = Echo::of(request.headers());
    let answer = service_fn(async |request: Request<Streaming<StreamingOutputRequest>>| {
        let each = request.into_inner().map(|message| match message {
            Ok(message) => outputs(message).boxed(),
            Err(status) => stream::iter([Err(status)]).boxed(),
        });
        let outputs: Outputs = each.flatten().boxed();
        Ok::<_, Status>(Response::new(outputs))
    });
    echo.into(server().streaming(answer, request).await)
}

/// The answers that one message asks for, each after its time.
fn outputs(request: StreamingOutputRequest) -> impl Stream<Item = Result<StreamingOutputResponse, Status>> {
    let refused = asked_for(request.response_status).err();
    let answers = stream::iter(request.response_parameters).then(async |asked| {
        tokio::time::sleep(Duration::from_micros(u64::try_from(asked.interval_us).unwrap_or(0))).await;
        Ok(StreamingOutputResponse { payload: Some(zeros(asked.size)?) })
    });
    stream::iter(refused.map(Err)).chain(answers)
}

/// The status that a request wants to be answered.
fn asked_for(status: Option<EchoStatus>) -> Result<(), Status> {
    let Some(EchoStatus { code, message }) = status.filter(|status| status.code != 0) else { return Ok(()) };
    Err(Status::new(Code::from(code), message))
}

fn zeros(size: i32) -> Result<Payload, Status> {
    let size = usize::try_from(size).map_err(|_| Status::invalid_argument("a negative size"))?;
    if size > LARGEST {
        return Err(Status::invalid_argument("a size over 4 MiB"));
    }
    Ok(Payload { kind: 0, body: vec![0; size] })
}

/// The metadata of a call that go back: some in the headers, some in the trailers.
struct Echo(HeaderMap, HeaderMap);

impl Echo {
    fn of(headers: &HeaderMap) -> Self {
        let one = |name: HeaderName| headers.get(&name).map(|value| (name, value.clone()));
        Self(one(INITIAL).into_iter().collect(), one(TRAILING).into_iter().collect())
    }

    fn into(self, mut response: http::Response<Body>) -> Out {
        let Self(initial, trailing) = self;
        response.headers_mut().extend(initial);
        let body = |body: Body| {
            body.map_frame(move |frame| match frame.into_trailers() {
                Ok(mut trailers) => {
                    trailers.extend(trailing.clone());
                    http_body::Frame::trailers(trailers)
                }
                Err(frame) => frame,
            })
        };
        response.map(|inner| axum::body::Body::new(body(inner)))
    }
}
