"""Starts `screening` and prints its result: PROBITY_TOKEN=… starter.py SUPPLIER [HOST:PORT]"""

import json, os, sys, uuid
import grpc
from google.protobuf.duration_pb2 import Duration
from probity.orchestrator.v1 import execution_pb2 as execution, execution_pb2_grpc as service
from probity.orchestrator.v1.orchestrator_pb2 import ExecutionStatus

supplier, server = sys.argv[1], (sys.argv[2:] or ["127.0.0.1:8080"])[0]
stub = service.ExecutionServiceStub(grpc.insecure_channel(server))
request = execution.StartExecutionRequest(
    definition="definitions/screening",
    input=json.dumps({"supplier": supplier}).encode(),
    request_id=str(uuid.uuid4()),  # the same for every attempt of this start
    wait=Duration(seconds=30),
)
token = [("authorization", "Bearer " + os.environ["PROBITY_TOKEN"])]
done = stub.StartExecution(request, metadata=token, timeout=45)
print(done.name, ExecutionStatus.Name(done.status), done.output.decode())
