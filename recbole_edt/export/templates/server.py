"""Recommendations over HTTP. Start: python server.py [PORT]; README.md shows a request."""

import csv
import json
import sys
from pathlib import Path
from wsgiref.simple_server import make_server

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
CONFIG = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
ITEMS = [*csv.DictReader((FOLDER / "items.csv").open(newline="", encoding="utf-8"))]
NUMBERS = {item["item_id"]: int(item.pop("number")) for item in ITEMS}
DOMAINS = {None: -1} | ({CONFIG["domain"]: 0} if CONFIG["domain"] else CONFIG["domains"])
SESSION = onnxruntime.InferenceSession(FOLDER / "model.onnx")


def answer(request, start_response):
    try:
        asked = json.loads(request["wsgi.input"].read(int(request["CONTENT_LENGTH"])))
        if not asked["history"]:
            raise ValueError("an empty history")
        given = {"history": [[NUMBERS[item] for item in asked["history"]]]}
        given["domain"] = [DOMAINS[asked.get("domain")]]
        inputs = {name: np.array(given[name], np.int64) for name in CONFIG["inputs"]}
        items, scores = (one[0].tolist() for one in SESSION.run(["items", "scores"], inputs))
        best = [{**ITEMS[n - 1], "score": score} for n, score in zip(items, scores) if n]
        status, body = "200 OK", {"items": best}
    except (KeyError, TypeError, ValueError) as error:
        status, body = "400 Bad Request", {"error": f"unknown or malformed: {error}"}
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body, ensure_ascii=False).encode()]


with make_server("127.0.0.1", int([*sys.argv, "8000"][1]), answer) as server:
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
