"""A server on this machine that answers each request by the next entry of a script."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def chat(text, **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 11, "completion_tokens": 3}
    return 200, {"choices": [{**choice, "finish_reason": "stop", **more}], "usage": usage}


class BadServer:
    """Answers by a script, whose last entry is repeated.

    An entry is (status, JSON value or bytes[, headers]), "cut", "slow", "drip", or a function
    from the parsed request to one of these.
    """

    def __init__(self, script):
        self.script = list(script)
        self.requests = []
        self.headers = []
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer._answer(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler):
        length = int(handler.headers["Content-Length"])
        body = json.loads(handler.rfile.read(length))
        with self._lock:
            self.requests.append(body)
            self.headers.append(dict(handler.headers))
            step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            self._send(handler, step(body) if callable(step) else step)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self._lock:
                self.in_flight -= 1

    def _send(self, handler, step):
        if step == "slow":
            self._over.wait(5)
            return
        if step == "cut":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices": [')
            return
        if step == "drip":
            handler.send_response(200)
            handler.end_headers()
            while not self._over.is_set():
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.02)
            return
        status, value, *headers = step
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        handler.send_response(status)
        for name, text in (headers[0] if headers else {}).items():
            handler.send_header(name, text)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
