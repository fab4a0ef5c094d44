//! `probity task` and `probity queue`: tasks of their own, and where they wait.

use super::execution::priority;
use super::{json_bytes, many};
use crate::args::flows::{EnqueueArgs, Listed, QueueCommand, TaskCommand};
use crate::client::Client;
use crate::commands::case::fresh_key;
use crate::failure::Failure;
use crate::output::{self, Column, Output, plain, short, time, word};
use crate::values;
use comfy_table::{Cell, Color, Row, Table};
use probity_proto::orchestrator::*;

const TASK: &str = "probity.orchestrator.v1.Task";
const QUEUE: &str = "probity.orchestrator.v1.Queue";

/// Runs a command of `probity task`.
pub(crate) async fn run(client: &Client, command: TaskCommand, out: Output) -> Result<(), Failure> {
    match command {
        TaskCommand::List(listed) => list(client, &listed, out).await,
        TaskCommand::Get { id } => {
            let request = GetTaskRequest { name: values::name("tasks", &id) };
            let call = |c: Client, request| async move { c.tasks().get_task(request).await };
            let task = client.call("get the task", None, request, call).await?;
            show(&task, out)?;
            if out.is_json() { Ok(()) } else { details(&task, out) }
        }
        TaskCommand::Enqueue(args) => enqueue(client, args, out).await,
        TaskCommand::Cancel { id, reason } => {
            let request = CancelTaskRequest { name: values::name("tasks", &id), reason };
            let call = |c: Client, request| async move { c.tasks().cancel_task(request).await };
            show(&client.call("cancel the task", None, request, call).await?, out)
        }
        TaskCommand::Retry { id } => {
            let request = RetryTaskRequest { name: values::name("tasks", &id) };
            let call = |c: Client, request| async move { c.tasks().retry_task(request).await };
            show(&client.call("retry the task", None, request, call).await?, out)
        }
    }
}

async fn list(client: &Client, listed: &Listed, out: Output) -> Result<(), Failure> {
    let page = async |page_token: String, page_size: i32| {
        let filter = listed.filter.clone();
        let request = ListTasksRequest { page_size, page_token, filter, order_by: String::new() };
        let call = |c: Client, request| async move { c.tasks().list_tasks(request).await };
        let page = client.call("list the tasks", None, request, call).await?;
        Ok((page.tasks, page.next_page_token))
    };
    many(listed.all, "no tasks", out, table(), page, |task| output::json(TASK, task), row).await
}

async fn enqueue(client: &Client, args: EnqueueArgs, out: Output) -> Result<(), Failure> {
    let request = EnqueueTaskRequest {
        r#type: args.r#type,
        queue: args.queue,
        payload: args.payload.as_deref().map(json_bytes).transpose()?.unwrap_or_default().into(),
        priority: priority(args.priority),
        delay: args.delay.map(values::span),
        unique_key: args.unique.unwrap_or_default(),
        concurrency_key: args.concurrency_key.unwrap_or_default(),
        timeout: args.timeout.map(values::span),
        ..EnqueueTaskRequest::default()
    };
    let key = args.key.unwrap_or_else(fresh_key);
    let call = |c: Client, request| async move { c.tasks().enqueue_task(request).await };
    show(&client.call("enqueue the task", Some(&key), request, call).await?, out)
}

fn details(task: &Task, out: Output) -> Result<(), Failure> {
    let rows = [
        ("execution", plain(&task.execution)),
        ("owner", plain(&task.owner)),
        ("worker", plain(&task.worker)),
        ("payload", short(&String::from_utf8_lossy(&task.payload), 2_000)),
        ("output", short(&String::from_utf8_lossy(&task.output), 2_000)),
        ("error", plain(&task.error)),
    ];
    out.line("")?;
    let mut rows = rows.iter().filter(|(_, text)| !text.is_empty());
    rows.try_for_each(|(label, text)| out.line(format_args!("{label:<11} {text}")))
}

fn show(task: &Task, out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(&output::json(TASK, task)?);
    }
    let mut table = table();
    table.add_row(row(task));
    out.table(&table)
}

fn table() -> Table {
    output::lines(&[
        ("TASK", Column::Whole),
        ("QUEUE", Column::Cut(16)),
        ("TYPE", Column::Cut(16)),
        ("STATE", Column::Whole),
        ("PRIORITY", Column::WholeFrom(120)),
        ("ENQUEUED", Column::WholeFrom(110)),
        ("ERROR", Column::CutFrom(50, 120)),
    ])
}

fn row(task: &Task) -> Row {
    let colour = match task.state() {
        TaskState::Completed => Color::Green,
        TaskState::Incident | TaskState::Failed => Color::Red,
        TaskState::Running => Color::Cyan,
        TaskState::Delayed => Color::Yellow,
        TaskState::Cancelled => Color::DarkGrey,
        TaskState::Queued | TaskState::Unspecified => Color::Reset,
    };
    output::one_line(vec![
        Cell::new(plain(task.name.strip_prefix("tasks/").unwrap_or(&task.name))),
        Cell::new(plain(&task.queue)),
        Cell::new(plain(&task.r#type)),
        Cell::new(word("TASK_STATE_", task.state().as_str_name())).fg(colour),
        Cell::new(word("PRIORITY_", task.priority().as_str_name())),
        Cell::new(time(task.create_time.as_ref())),
        Cell::new(short(&task.error, 120)),
    ])
}

/// Runs a command of `probity queue`.
pub(crate) async fn queue(client: &Client, command: QueueCommand, out: Output) -> Result<(), Failure> {
    let name = |name: &str| values::name("queues", name);
    let queue = match command {
        QueueCommand::List => return queues(client, out).await,
        QueueCommand::Get { name: of } => {
            let request = GetQueueRequest { name: name(&of) };
            let call = |c: Client, request| async move { c.tasks().get_queue(request).await };
            client.call("get the queue", None, request, call).await?
        }
        QueueCommand::Pause { name: of } => {
            let request = PauseQueueRequest { name: name(&of) };
            let call = |c: Client, request| async move { c.tasks().pause_queue(request).await };
            client.call("pause the queue", None, request, call).await?
        }
        QueueCommand::Resume { name: of } => {
            let request = ResumeQueueRequest { name: name(&of) };
            let call = |c: Client, request| async move { c.tasks().resume_queue(request).await };
            client.call("resume the queue", None, request, call).await?
        }
        QueueCommand::Update { name: of, lease, max_running, max_running_per_key, rate } => {
            let period = |seconds: i64| (seconds > 0).then(|| values::span(seconds));
            let rate = rate.map(|(count, seconds)| QueueRate { count, period: period(seconds), burst: 0 });
            let lease = lease.map(values::span);
            let request = UpdateQueueRequest {
                name: name(&of),
                lease,
                max_running,
                max_running_per_key,
                rate,
                update_mask: None,
            };
            let call = |c: Client, request| async move { c.tasks().update_queue(request).await };
            client.call("update the queue", None, request, call).await?
        }
    };
    print_queues(std::slice::from_ref(&queue), out)
}

async fn queues(client: &Client, out: Output) -> Result<(), Failure> {
    let call = |c: Client, request| async move { c.tasks().list_queues(request).await };
    let queues = client.call("list the queues", None, ListQueuesRequest {}, call).await?.queues;
    if queues.is_empty() && !out.is_json() {
        return out.line("no queues");
    }
    print_queues(&queues, out)
}

fn print_queues(queues: &[Queue], out: Output) -> Result<(), Failure> {
    if out.is_json() {
        return queues.iter().try_for_each(|queue| out.json_line(&output::json(QUEUE, queue)?));
    }
    let mut table = output::lines(&[
        ("QUEUE", Column::Whole),
        ("READY", Column::Whole),
        ("DELAYED", Column::Whole),
        ("RUNNING", Column::Whole),
        ("WORKERS", Column::Whole),
        ("OLDEST", Column::WholeFrom(90)),
        ("DONE/S", Column::WholeFrom(90)),
        ("LIMITS", Column::Cut(40)),
    ]);
    for queue in queues {
        let figures = queue.figures.unwrap_or_default();
        let ready = figures.ready_low + figures.ready_normal + figures.ready_high + figures.ready_critical;
        let oldest = figures.oldest_ready.map_or_else(String::new, |age| format!("{} s", age.seconds));
        let name = plain(queue.name.strip_prefix("queues/").unwrap_or(&queue.name));
        let name = if queue.paused {
            Cell::new(format!("{name}, paused")).fg(Color::Yellow)
        } else {
            Cell::new(name)
        };
        table.add_row(output::one_line(vec![
            name,
            Cell::new(ready + figures.blocked),
            Cell::new(figures.delayed),
            Cell::new(figures.running),
            Cell::new(figures.workers),
            Cell::new(oldest),
            Cell::new(format!("{:.1}", figures.finished_per_s)),
            Cell::new(limits(queue)),
        ]));
    }
    out.table(&table)
}

fn limits(queue: &Queue) -> String {
    let mut limits = Vec::new();
    if queue.max_running > 0 {
        limits.push(format!("{} running", queue.max_running));
    }
    if queue.max_running_per_key > 0 {
        limits.push(format!("{} a key", queue.max_running_per_key));
    }
    if let Some(rate) = &queue.rate {
        let seconds = rate.period.map_or(1, |period| period.seconds.max(1));
        limits.push(format!("{} in {seconds} s", rate.count));
    }
    if limits.is_empty() { "none".to_owned() } else { limits.join(", ") }
}
