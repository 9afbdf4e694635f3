"""Uses a page with the keyboard alone, in chromium as wide as a telephone: address [screenshot].

Prints one line a fact; a line that begins with BAD is something a person would complain of.
"""
import base64, json, os, subprocess, sys, tempfile

profile = tempfile.mkdtemp(dir=os.environ["HOME"])
to_read, to_write = os.pipe(), os.pipe()  # what chromium reads, and what it writes


def wire():
    ours = os.dup(to_read[0]), os.dup(to_write[1])
    os.dup2(ours[0], 3)
    os.dup2(ours[1], 4)


browser = subprocess.Popen(
    ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
     "--disable-background-networking", "--disable-component-update", "--user-data-dir=" + profile],
    preexec_fn=wire, close_fds=False, stderr=subprocess.DEVNULL)
os.close(to_read[0]), os.close(to_write[1])
pipe, number, left, events = to_read[1], 0, b"", []


def receive():
    global left
    while b"\0" not in left:
        more = os.read(to_write[0], 1 << 16)
        if not more:
            sys.exit("chromium ended")
        left += more
    text, left = left.split(b"\0", 1)
    return json.loads(text)


def call(method, session=None, **params):
    global number
    number += 1
    text = {"id": number, "method": method, "params": params}
    os.write(pipe, json.dumps(text | ({"sessionId": session} if session else {})).encode() + b"\0")
    while True:
        answer = receive()
        if answer.get("id") == number:
            if "error" in answer:
                sys.exit(f"{method}: {answer['error']}")
            return answer["result"]
        events.append(answer)


target = call("Target.createTarget", url="about:blank")["targetId"]
page = call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
call("Emulation.setDeviceMetricsOverride", page, width=360, height=740, deviceScaleFactor=2, mobile=True)
call("Page.enable", page)
call("Page.navigate", page, url=sys.argv[1])
while not any(event.get("method") == "Page.loadEventFired" for event in events):
    events.append(receive())


def evaluate(text):
    result = call("Runtime.evaluate", page, expression=text, returnByValue=True, awaitPromise=True)
    if "exceptionDetails" in result:
        sys.exit(f"{text}: {result['exceptionDetails']}")
    return result["result"].get("value")


def key(name, code, text=None):
    more = {"text": text} if text else {}
    for kind in ("keyDown", "keyUp"):
        call("Input.dispatchKeyEvent", page, type=kind, key=name, code=name, windowsVirtualKeyCode=code, **more)
        more = {}


HERE = """(() => {
  const it = document.activeElement;
  if (!it || it === document.body) return null;
  const box = it.getBoundingClientRect(), style = getComputedStyle(it);
  const all = [...document.querySelectorAll("a[href],button,input,summary")];
  return {index: all.indexOf(it), tag: it.tagName, text: (it.textContent || it.id).trim().slice(0, 40),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight,
    wide: document.documentElement.scrollWidth > 360};
})()"""
count = evaluate("""[...document.querySelectorAll("a[href],button,input,summary")]
  .filter(it => it.getClientRects().length && getComputedStyle(it).visibility !== "hidden").length""")
reached, opened, copied = [], 0, 0
for _ in range(count + 200):
    key("Tab", 9)
    here = evaluate(HERE)
    if here is None or here["index"] in reached:
        break
    reached.append(here["index"])
    for wrong in [name for name in ("ring", "seen") if not here[name]] + (["wide"] if here["wide"] else []):
        print("BAD", wrong, here)
    if here["tag"] == "SUMMARY" and not evaluate("document.activeElement.parentElement.open"):
        key("Enter", 13, "\r")
        opened += bool(evaluate("document.activeElement.parentElement.open"))
        count = evaluate("""[...document.querySelectorAll("a[href],button,input,summary")]
          .filter(it => it.getClientRects().length && getComputedStyle(it).visibility !== "hidden").length""")
    if here["tag"] == "BUTTON":
        key("Enter", 13, "\r")
        word = evaluate("new Promise(done => setTimeout(() => done(document.activeElement.textContent), 50))")
        copied += word in ("Copied", "Selected", "Failed")
        if evaluate("document.activeElement.getAttribute('aria-label')") == "Copy these commands":
            print("BAD the button does not say that it copied")
        if not evaluate("document.querySelector('[role=status]').textContent"):
            print("BAD a screen reader does not say that it copied")
    if here["tag"] == "INPUT":
        call("Input.insertText", page, text="no such image")
        print("filter:", evaluate("document.getElementById('count').textContent"))
        evaluate("document.activeElement.select()")
        key("Backspace", 8)
        evaluate("document.activeElement.dispatchEvent(new Event('input'))")
first = evaluate("document.querySelectorAll('a[href],button,input,summary')[0].textContent")
print(f"reached {len(reached)} of {count}, opened {opened}, copied {copied}, first: {first}")
if len(reached) != count or reached != sorted(reached):
    print("BAD not everything, or in another order:", reached)
if len(sys.argv) > 2:
    picture = call("Page.captureScreenshot", page, captureBeyondViewport=True)["data"]
    with open(sys.argv[2], "wb") as file:
        file.write(base64.b64decode(picture))
call("Browser.close")
browser.wait(30)
