"""Does the tasks of the queue `screening`: PROBITY_TOKEN=… worker.py [HOST:PORT]"""

import json, os, queue, sys
import grpc
from probity.orchestrator.v1 import worker_pb2 as work, worker_pb2_grpc as service


def screen(task, supplier, **_):
    return {"supplier": supplier, "listed": "Shell" in supplier, "attempt": task.attempt}


def answer(task):
    try:
        output = screen(task, **json.loads(task.input))
        return work.TaskResult(token=task.token, output=json.dumps(output).encode())
    except Exception as error:  # a failed attempt: the step's retry policy decides
        return work.TaskResult(token=task.token, failure=work.TaskFailure(code="FAILED", message=str(error)))


say = queue.SimpleQueue()
say.put(work.WorkRequest(hello=work.WorkerHello(worker="python", queues=["screening"]), credits=8))
stub = service.WorkerServiceStub(grpc.insecure_channel(sys.argv[1] if sys.argv[1:] else "127.0.0.1:8080"))
for response in stub.Work(iter(say.get, None), metadata=[("authorization", "Bearer " + os.environ["PROBITY_TOKEN"])]):
    for task in response.tasks:
        say.put(work.WorkRequest(results=[answer(task)], credits=1))
