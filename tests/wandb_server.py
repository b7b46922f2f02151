"""A W&B server on loopback, enough of one for real online runs and `wandb sync`; it keeps what it was sent.

It answers what wandb 0.31 asks: the GraphQL of a run's start, resumption and end, the file stream, and uploads. It
proves the client's side alone; the real service may differ.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from threading import Thread
from types import TracebackType
from typing import Any, Self

import yaml

API_KEY = "0123456789" * 4
"""Long enough for the client to believe in; the server takes any."""


@dataclass
class SentRun:
    """What one run id sent: its records, and its history as the real service keeps it, line by line at offsets."""

    id: str
    records: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    starts: int = 0
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.get("wandb-history.jsonl", [])]

    @property
    def summary(self) -> dict[str, Any]:
        summary = json.loads((self.lines.get("wandb-summary.json") or ["{}"])[-1])
        assert isinstance(summary, dict)
        return summary

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry["value"] for key, entry in json.loads(self.records["config"]).items() if key != "_wandb"}


@dataclass
class SentSweep:
    """A sweep of W&B's own, a grid: the server hands its runs out to agents, each under an id that it chose."""

    id: str
    config: dict[str, Any]
    run_ids: list[str] = field(default_factory=list)

    def command(self) -> dict[str, Any]:
        """What an agent is to do next: one combination of values, or nothing more."""
        levels = {key: spec.get("values", [spec.get("value")]) for key, spec in self.config["parameters"].items()}
        combinations = list(product(*levels.values()))
        if len(self.run_ids) == len(combinations):
            return {"type": "exit"}
        combination = combinations[len(self.run_ids)]
        self.run_ids.append(f"{self.id}run{len(self.run_ids)}")
        args = {key: {"value": value} for key, value in zip(levels, combination, strict=True)}
        return {"type": "run", "program": self.config["program"], "run_id": self.run_ids[-1], "args": args}


MAX_LENGTHS = {"displayName": 128, "groupName": 128, "jobType": 64, "tags": 64}
"""Characters that W&B's service takes, each tag by itself (as users report of it)."""


class Refusal(Exception):
    """What the server answers to a run that it does not take, with status 400 (as users report of W&B's service)."""


class WandbServer:
    """Serves as long as its `with` block; `runs` by id, `files` by path, `requests` in order.

    With a `status` other than 200 it answers that, and nothing else, to everything.
    """

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.runs: dict[str, SentRun] = {}
        self.files: dict[str, bytes] = {}
        self.sweeps: dict[str, SentSweep] = {}
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"wandb": self}))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client must find in its environment."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": API_KEY}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data for one GraphQL query."""
        if "upsertBucket" in query:
            return {"upsertBucket": self._start(variables)}
        if "RunResumeStatus" in query:
            return {"model": self._resume_status(variables)}
        if "createRunFiles" in query:
            run = variables.get("run", "")
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{run}/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": "internal", "uploadHeaders": [], "files": files}}
        if "createArtifact" in query:
            latest = {"id": "artifact", "versionIndex": 0}
            artifact = {
                "id": "artifact",
                "state": "COMMITTED",
                "artifactSequence": {"id": "s", "latestArtifact": latest},
            }
            return {"createArtifact": {"artifact": artifact}}
        if "artifactType" in query:
            return {"project": {"artifactType": {"id": "t", "name": "run_table"}, "artifact": None}}
        if "viewer" in query.lower():
            flags = json.dumps({"code_saving_enabled": False})
            viewer = {"id": "v", "entity": "tester", "username": "tester", "email": "", "flags": flags}
            return {"viewer": viewer | {"teams": {"edges": []}}}
        return self._answer_agent(query, variables)

    def _answer_agent(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "mutation UpsertSweep" in query:
            return {"upsertSweep": {"sweep": self._make_sweep(variables), "configValidationWarnings": []}}
        if "SweepWithRuns" in query:
            return {"project": {"sweep": self._sweep(variables["sweep"])}}
        if "CreateAgent" in query:
            return {"createAgent": {"agent": {"id": variables["sweep"]}}}
        if "Heartbeat" in query:
            return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": self._commands(variables)}}
        return {}

    def _start(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        for key, limit in MAX_LENGTHS.items():
            values = variables.get(key) or []
            if any(len(value) > limit for value in ([values] if isinstance(values, str) else values)):
                raise Refusal(f"invalid parameters: {limit} limit exceeded for {key}")
        inserted = name not in self.runs
        run = self.runs.setdefault(name, SentRun(name))
        run.starts += 1
        run.records |= {key: value for key, value in variables.items() if value is not None}
        bucket = self._bucket(run)
        return {"bucket": bucket, "inserted": inserted}

    def _bucket(self, run: SentRun) -> dict[str, Any]:
        project = run.records.get("project", "none")
        entity = run.records.get("entity") or "tester"
        history = run.lines.get("wandb-history.jsonl", [])
        return {
            "id": run.id,
            "name": run.id,
            "displayName": run.records.get("displayName", run.id),
            "description": "",
            "config": run.records.get("config", "{}"),
            "sweepName": None,
            "project": {"id": project, "name": project, "entity": {"id": entity, "name": entity}},
            "historyLineCount": len(history),
            "historyTail": json.dumps(history[-1:]),
            "eventsLineCount": len(run.lines.get("wandb-events.jsonl", [])),
            "eventsTail": json.dumps(run.lines.get("wandb-events.jsonl", [])[-1:]),
            "logLineCount": 0,
            "summaryMetrics": json.dumps(run.summary),
            "tags": run.records.get("tags") or [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),
        }

    def _make_sweep(self, variables: dict[str, Any]) -> dict[str, Any]:
        sweep = SentSweep(f"sweep{len(self.sweeps)}", yaml.safe_load(variables["config"]))
        self.sweeps[sweep.id] = sweep
        project = {"id": "p", "name": variables["projectName"], "entity": {"id": "e", "name": "tester"}}
        return {"name": sweep.id, "project": project}

    def _sweep(self, name: str) -> dict[str, Any]:
        config = yaml.safe_dump(self.sweeps[name].config)
        return {"id": name, "name": name, "state": "RUNNING", "config": config, "runs": {"edges": []}}

    def _commands(self, variables: dict[str, Any]) -> str:
        """An agent that has a run at work gets nothing new; its id is its sweep's."""
        is_busy = any(json.loads(variables["runState"]).values())
        return json.dumps([] if is_busy else [self.sweeps[variables["id"]].command()])

    def _resume_status(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        entity = variables.get("entity") or "tester"
        model = {"id": "p", "name": variables.get("project"), "entity": {"id": entity, "name": entity}}
        return model | {"bucket": None if run is None else self._bucket(run)}

    def stream(self, run_id: str, sent: dict[str, Any]) -> None:
        """Lines for a run's files: at an offset they replace what stood there."""
        run = self.runs.setdefault(run_id, SentRun(run_id))
        for name, chunk in (sent.get("files") or {}).items():
            lines = run.lines.setdefault(name, [])
            offset = chunk.get("offset", 0)
            lines[offset : offset + len(chunk["content"])] = chunk["content"]
        if sent.get("complete"):
            run.exit_code = sent.get("exitcode")


class _Handler(BaseHTTPRequestHandler):
    """Reads one request, lets the server answer it."""

    wandb: WandbServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self.wandb.status != 200:
            return self._reply({}, self.wandb.status)
        if self.path == "/graphql":
            asked = json.loads(body)
            try:
                return self._reply({"data": self.wandb.answer(asked["query"], asked.get("variables") or {})})
            except Refusal as refusal:
                return self._reply({"data": {"upsertBucket": None}, "errors": [{"message": str(refusal)}]}, 400)
        if self.path.endswith("/file_stream"):
            self.wandb.stream(self.path.split("/")[-2], json.loads(body))
        return self._reply({})

    def do_PUT(self) -> None:
        self.wandb.files[self.path.removeprefix("/upload/")] = self._body()
        self._reply({}, self.wandb.status)

    def do_GET(self) -> None:
        self._body()
        self._reply({}, self.wandb.status)

    do_HEAD = do_GET  # noqa: N815

    def _body(self) -> bytes:
        self.wandb.requests.append(f"{self.command} {self.path}")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, content: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def handle(self) -> None:
        # A client's process that ends cuts its connections.
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keeps quiet."""
