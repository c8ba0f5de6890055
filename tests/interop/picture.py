"""Remakes the docs' picture of bull-board on a queue of ours: `python -m tests.interop.picture`.

Needs what the interop tests need (`make test-interop` installs it), and the programs chromium and pdftocairo (Debian:
`apt-get install chromium poppler-utils`). The picture is text: the page printed as a vector drawing, no bitmap.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from crewline import Job, Queue, Reject, Worker

from tests import redis_server
from tests.interop.bull_board import bull_board
from tests.interop.peers import HERE, until

PICTURE = HERE.parents[1] / "docs" / "engine" / "bull-board.svg"
QUEUE = "emails"
REASON = "no mailbox of that name"

#: The page in CSS pixels, of which 96 are an inch.
WIDTH, HEIGHT = 1500, 800

#: Shadows would be printed as bitmaps, and the header's fade-out as a grey one.
STYLE = """
*, *::before, *::after {box-shadow: none !important; backdrop-filter: none !important; mask: none !important}
[class^=stickyHeader] {background: var(--background) !important}
"""

#: Chromium as a program without a user: in a container it can't use its sandbox, and it need not call home.
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


async def main() -> None:
    missing = [program for program in ("node", "chromium", "pdftocairo") if not shutil.which(program)]
    if missing:
        sys.exit(f"picture: {' and '.join(missing)} missing (Debian: apt-get install nodejs chromium poppler-utils)")
    with tempfile.TemporaryDirectory() as folder, redis_server.start(Path(folder)) as server:
        async with busy_queue(server.url), bull_board("bullmq6", server.port, QUEUE) as board:
            pdf = Path(folder) / "page.pdf"
            pdf.write_bytes(await printed(f"{board.url}queue/{QUEUE}?status=failed", Path(folder) / "profile"))
        convert = await asyncio.create_subprocess_exec("pdftocairo", "-svg", "-f", "1", "-l", "1", pdf, PICTURE)
        if await convert.wait() != 0:
            sys.exit("picture: pdftocairo failed, see above")
    print(f"picture: {PICTURE.relative_to(HERE.parents[1])}")


@asynccontextmanager
async def busy_queue(url: str) -> AsyncIterator[None]:
    """A queue with jobs in most states; a worker of ours runs one of them for the time of the block."""
    enough = asyncio.Event()

    async def handle(job: Job) -> dict[str, Any]:
        await job.log(f"to {job.data['to']}")
        await job.progress(60)
        if job.name == "invoice":
            raise Reject(REASON)
        if job.name == "newsletter":
            await enough.wait()
        return {"sent": job.data["to"]}

    async with Queue(QUEUE, redis=url) as queue:
        worker = Worker(QUEUE, handle, redis=url, concurrency=1)
        running = asyncio.create_task(worker.run())
        try:
            done = [("welcome", {"to": f"user{n}@example.com"}) for n in range(18)]
            dead = [("invoice", {"to": f"shop{n}@example.com", "order": 4700 + n}) for n in range(2)]
            await queue.add_bulk([*done, *dead, ("newsletter", {"to": "everyone@example.com"})])
            await until(lambda: _counted(queue, completed=18, failed=2), "all but the newsletter end")
            await queue.add_bulk([("welcome", {"to": f"next{n}@example.com"}) for n in range(3)])
            await queue.add_bulk([("reminder", {"to": f"user{n}@example.com"}, {"delay": 3600}) for n in range(2)])
            await queue.add("password-reset", {"to": "user7@example.com"}, priority=1)
            yield
        finally:
            enough.set()
            await worker.stop()
            await running


async def _counted(queue: Queue, **expected: int) -> bool:
    return {state: await queue.redis.zcard(f"bull:{QUEUE}:{state}") for state in expected} == expected


async def printed(url: str, profile: Path) -> bytes:
    """The page as a PDF of one page, as it looks on a screen."""
    async with browser(profile) as call:
        await call("Emulation.setEmulatedMedia", media="screen")
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        await call("Emulation.setDeviceMetricsOverride", **size)
        await call("Page.navigate", url=url)

        async def loaded() -> bool:
            text = await call("Runtime.evaluate", expression="document.body ? document.body.innerText : ''")
            return REASON in text["result"]["value"]

        await until(loaded, "the page shows the failed jobs", seconds=30)
        style = f"document.createElement('style'), {{textContent: {json.dumps(STYLE)}}}"
        await call("Runtime.evaluate", expression=f"document.head.append(Object.assign({style}))")
        paper = {"paperWidth": WIDTH / 96, "paperHeight": HEIGHT / 96, "printBackground": True}
        margins = {f"margin{side}": 0 for side in ("Top", "Bottom", "Left", "Right")}
        return base64.b64decode((await call("Page.printToPDF", **paper, **margins))["data"])


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Any]:
    """Chromium for the time of the block; yields `call(method, **parameters)` of its DevTools protocol."""
    process = await asyncio.create_subprocess_exec(
        *("chromium", *QUIET, f"--user-data-dir={profile}", "about:blank"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        port_file = profile / "DevToolsActivePort"
        await until(lambda: port_file.is_file() and port_file.read_text().strip(), "chromium starts", seconds=30)
        port = port_file.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                page = next(target for target in await answer.json() if target["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:

                async def call(method: str, **parameters: Any) -> Any:
                    await socket.send_json({"id": 1, "method": method, "params": parameters})
                    while True:
                        message = await socket.receive_json(timeout=30)
                        if message.get("id") == 1:
                            assert "error" not in message, f"{method}: {message['error']}"
                            return message["result"]

                yield call
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
