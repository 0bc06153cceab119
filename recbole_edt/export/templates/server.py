"""Recommendations over HTTP. Start: python server.py [PORT]; README.md shows a request."""

import csv
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
with open(FOLDER / "items.csv", newline="", encoding="utf-8") as file:
    ITEMS = {int(row.pop("number")): row for row in csv.DictReader(file)}
NUMBERS = {item["item_id"]: number for number, item in ITEMS.items()}
SESSION = onnxruntime.InferenceSession(FOLDER / "model.onnx")


def recommend(history: list[str], domain: str | None = None) -> list[dict]:
    inputs = {"history": np.array([[NUMBERS[item] for item in history]], np.int64)}
    if "domain" in CONFIG["inputs"]:
        inputs["domain"] = np.array([CONFIG["domains"][domain] if domain else -1], np.int64)
    items, scores = SESSION.run(["items", "scores"], inputs)
    pairs = zip(items[0].tolist(), scores[0].tolist(), strict=True)
    return [{**ITEMS[item], "score": score} for item, score in pairs if item > 0]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        answer: dict[str, object]
        try:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not asked["history"]:
                raise ValueError("an empty history")
            status, answer = 200, {"items": recommend(asked["history"], asked.get("domain"))}
        except (KeyError, TypeError, ValueError) as error:
            status, answer = 400, {"error": f"unknown or malformed: {error}"}
        body = json.dumps(answer, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
