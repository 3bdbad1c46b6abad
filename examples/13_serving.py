"""A client of a served agent: it needs nothing of RL-Meta, and could be written in any language.

Without arguments, an agent is trained for two slot machines of unknown chances and served here first; else

    rl-meta serve DIR            in one terminal
    python 13_serving.py --url http://127.0.0.1:8000

A client that pulls ten arms at random earns 5 in the mean, the best agent 6.02.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from http.client import HTTPConnection
from urllib.parse import urlsplit

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--url", help="of a server; none: train and serve an agent here")
parser.add_argument("--steps", type=int, default=2_000_000, help="environment steps of training")
parser.add_argument("--tasks", type=int, default=300, help="slot machines to play at")
options = parser.parse_args()

server = None
if options.url is None:
    word = [sys.executable, "-c", "from rl_meta.cli import main; main()"]
    train = ["train", "bandit", "rl2", "--family.arms", "2", "--family.pulls", "10", "--out", "runs/example-13"]
    subprocess.run([*word, *train, "--steps", str(options.steps)], check=True)
    serve = [*word, "serve", "runs/example-13", "--port", "0"]
    server = subprocess.Popen(serve, stderr=subprocess.PIPE, text=True)
    said = next(line for line in server.stderr if "serving" in line)
    options.url = said.split()[-1]

connection = HTTPConnection(urlsplit(options.url).netloc)
token = {"Authorization": f"Bearer {os.environ['RL_META_TOKEN']}"} if "RL_META_TOKEN" in os.environ else {}


def ask(how, path, **body):
    connection.request(how, path, json.dumps(body), {"Content-Type": "application/json", **token})
    return json.loads(connection.getresponse().read() or "null")


random.seed(0)
earned = 0
for seed in range(options.tasks):
    session = ask("POST", "/sessions", seed=seed)["session"]
    chances, reward = [random.random(), random.random()], 0
    for _ in range(10):
        arm = ask("POST", f"/sessions/{session}/act", observation=0, reward=reward)["action"]
        reward = int(random.random() < chances[arm])
        earned += reward
    ask("DELETE", f"/sessions/{session}")
connection.close()
print(f"earned per task: {earned / options.tasks:.2f} (should be about 6.02)")
if server:
    server.terminate()
    server.communicate()
