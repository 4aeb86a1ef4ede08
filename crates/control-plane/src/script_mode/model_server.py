"""A model server for inference scripts: `model_fn`, `input_fn`, `predict_fn`, `output_fn` or `transform_fn`.

It answers `GET /ping`, `POST /invocations` and `GET /execution-parameters` as the hosting contract of
SageMaker has them, with what the standard library has; numpy, joblib and the frameworks are used when they are
there. It loads the model once, before it listens, and ends with the traceback when that fails.
"""

import argparse
import contextlib
import importlib
import inspect
import io
import json
import os
import pathlib
import socket
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer

MODEL = pathlib.Path("/opt/ml/model")
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
TEXT = (JSON, CSV, "text/plain", "text/libsvm", "application/jsonlines")
# A real-time request has 25 MB at most, one of a batch transform or an asynchronous one more: 1 GB is AWS's bound.
BODY_BYTES = 1 << 30
# Connections at a time: the front door keeps 256 requests per server in flight.
CONNECTIONS = 512
# Seconds after which a silent connection is closed.
IDLE = 120


class Refused(Exception):
    """What the client asked for cannot be done: the answer's status and words."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


# ---- the defaults of the framework containers ----

def numpy():
    import numpy as library
    return library


def default_model(folder):
    """The one file whose name says what it is."""
    loaders = {
        "model.joblib": lambda path: importlib.import_module("joblib").load(path),
        "model.pth": lambda path: importlib.import_module("torch").jit.load(path).eval(),
        "model.pt": lambda path: importlib.import_module("torch").jit.load(path).eval(),
        "xgboost-model": lambda path: importlib.import_module("xgboost").Booster(model_file=path),
    }
    for name, load in loaders.items():
        if (pathlib.Path(folder) / name).is_file():
            return load(str(pathlib.Path(folder) / name))
    raise NotImplementedError(
        "the inference script has no model_fn(model_dir), and the model has none of the files "
        + ", ".join(loaders))


def default_input(body, content_type):
    if content_type == JSON:
        data = json.loads(body)
        with contextlib.suppress(ImportError):
            return numpy().array(data) if isinstance(data, list) else data
        return data
    if content_type == CSV:
        try:
            return numpy().genfromtxt(io.StringIO(body), delimiter=",", ndmin=2)
        except ImportError:
            return [[float(cell) for cell in line.split(",")] for line in body.splitlines() if line.strip()]
    if content_type == NPY:
        return numpy().load(io.BytesIO(body), allow_pickle=False)
    raise Refused(415, f"Content type {content_type} is not supported by this framework. Implement input_fn to read it.")


def default_predict(data, model):
    kind = type(model).__module__.split(".")[0]
    if kind == "xgboost" and not hasattr(model, "get_xgb_params"):
        return model.predict(importlib.import_module("xgboost").DMatrix(data))
    if hasattr(model, "predict"):
        return model.predict(data)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        with torch.no_grad():
            return model(torch.as_tensor(data, dtype=torch.float32))
    if callable(model):
        return model(data)
    raise NotImplementedError("the model has no predict; implement predict_fn(input, model)")


def default_output(prediction, accept):
    if hasattr(prediction, "detach"):
        prediction = prediction.detach().cpu().numpy()
    if accept == NPY:
        out = io.BytesIO()
        numpy().save(out, numpy().asarray(prediction), allow_pickle=False)
        return out.getvalue(), NPY
    plain = prediction.tolist() if hasattr(prediction, "tolist") else prediction
    if accept == CSV:
        rows = plain if isinstance(plain, list) else [plain]
        lines = (",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows)
        return "\n".join(lines) + "\n", CSV
    if accept == JSON:
        return json.dumps(plain, default=lambda value: value.tolist()), JSON
    raise Refused(406, f"Accept type {accept} is not supported by this framework. Implement output_fn to write it.")


# ---- the script's functions over the defaults ----

def call(function, *arguments, context=None):
    """A function of the script, with a context where it takes one more argument than the usual ones."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    with contextlib.suppress(ValueError, TypeError):
        taken = [name for name in inspect.signature(function).parameters.values() if name.kind in kinds]
        if len(taken) == len(arguments) + 1 and taken[-1].name in ("context", "ctx"):
            return function(*arguments, context)
    return function(*arguments)


class Handlers:
    """Loads the script and the model and turns requests into answers."""

    def __init__(self, program, folders):
        self.module = self.load(program, folders)
        find = lambda name, default: getattr(self.module, name, default)
        self.read, self.predict = find("input_fn", default_input), find("predict_fn", default_predict)
        self.write, self.transform = find("output_fn", default_output), find("transform_fn", None)
        self.accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON)
        self.model = call(find("model_fn", default_model), str(MODEL))

    @staticmethod
    def load(program, folders):
        for folder in reversed(folders):
            sys.path.insert(0, folder)
        if not program:
            program = next((name for name in ("inference.py",) if any((pathlib.Path(f) / name).is_file() for f in folders)), None)
        if not program:
            return None
        script = next((path for path in (pathlib.Path(f) / program for f in folders) if path.is_file()), None)
        if script is None:
            raise FileNotFoundError(f"SAGEMAKER_PROGRAM is {program}, which is in none of {', '.join(folders)}")
        sys.path.insert(0, str(script.parent))
        return importlib.import_module(script.stem)

    def answer(self, body, content_type, accept):
        """Bytes and media type."""
        accept = self.accept if accept in ("", "*/*") else accept
        if content_type in TEXT or content_type.startswith("text/"):
            body = body.decode()
        if self.transform is not None:
            result = call(self.transform, self.model, body, content_type, accept)
        else:
            data = call(self.read, body, content_type)
            prediction = call(self.predict, data, self.model)
            result = call(self.write, prediction, accept)
        if isinstance(result, tuple):
            result, accept = result
        if hasattr(result, "response"):
            # What the framework containers' own helpers answer.
            result, accept = result.response, getattr(result, "mimetype", accept)
        if isinstance(result, str):
            result = result.encode()
        if not isinstance(result, (bytes, bytearray, memoryview)):
            raise TypeError(f"the script answered {type(result).__name__}; output_fn must return str or bytes")
        return bytes(result), accept


# ---- HTTP ----

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = IDLE
    handlers = None
    turns = None

    def do_GET(self):
        if self.path == "/ping":
            return self.send(200, b"", JSON)
        if self.path == "/execution-parameters":
            workers = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or os.cpu_count() or 1
            about = {"MaxConcurrentTransforms": int(workers), "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}
            return self.send(200, json.dumps(about).encode(), JSON)
        return self.send(404, b"not found", "text/plain")

    def do_POST(self):
        if self.path != "/invocations":
            return self.send(404, b"not found", "text/plain")
        try:
            body = self.body()
            content_type = (self.headers.get("Content-Type") or JSON).split(";")[0].strip().lower()
            accept = (self.headers.get("Accept") or "").split(";")[0].split(",")[0].strip().lower()
            with self.turns:
                answer, media_type = self.handlers.answer(body, content_type, accept)
        except Refused as refused:
            return self.send(refused.status, str(refused).encode(), "text/plain")
        except Exception as error:
            traceback.print_exc()
            last = "".join(traceback.format_exception_only(type(error), error)).strip()
            # The framework containers let a script's exception say which status it means.
            status = getattr(error, "status_code", getattr(error, "code", 500))
            status = status if isinstance(status, int) and 400 <= status < 600 else 500
            return self.send(status, last.encode(), "text/plain")
        return self.send(200, answer, media_type)

    def body(self):
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            parts, size = [], 0
            while True:
                length = int(self.rfile.readline(64).split(b";")[0].strip() or b"0", 16)
                size += length
                self.bound(size)
                if length == 0:
                    while self.rfile.readline(8192).strip():
                        pass
                    return b"".join(parts)
                parts.append(self.rfile.read(length))
                self.rfile.readline(8)
        length = int(self.headers.get("Content-Length") or 0)
        self.bound(length)
        return self.rfile.read(length)

    def bound(self, size):
        if size > BODY_BYTES or size < 0:
            self.close_connection = True
            raise Refused(413, "the request is too large")

    def send(self, status, body, media_type):
        self.send_response_only(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Requests are counted by the server in front."""


class Server(HTTPServer):
    """A thread for every connection, up to a bound."""

    request_queue_size = 128

    def __init__(self, address, handler, listening=None):
        super().__init__(address, handler, bind_and_activate=listening is None)
        if listening is not None:
            self.socket.close()
            self.socket = listening
        self.places = threading.BoundedSemaphore(CONNECTIONS)

    def process_request(self, request, client_address):
        self.places.acquire()
        threading.Thread(target=self.work, args=(request, client_address), daemon=True).start()

    def work(self, request, client_address):
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # The client went away.
        except Exception:
            traceback.print_exc()
        finally:
            self.shutdown_request(request)
            self.places.release()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=int(os.environ.get("SAGEMAKER_BIND_TO_PORT", 8080)))
    parser.add_argument("--inherited", action="store_true", help="standard input is the listening socket")
    parser.add_argument("--code", action="append", default=[], help="folder of the script; the first that has it counts")
    arguments = parser.parse_args()
    Handler.handlers = Handlers(os.environ.get("SAGEMAKER_PROGRAM"), arguments.code or [str(MODEL / "code")])
    workers = int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or os.cpu_count() or 1)
    Handler.turns = threading.BoundedSemaphore(max(1, workers))
    listening = socket.socket(fileno=0) if arguments.inherited else None
    server = Server((arguments.address, arguments.port), Handler, listening)
    print(f"the model is loaded; {workers} requests at a time", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
