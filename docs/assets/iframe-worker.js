// Browsers start no worker of a page that was opened as a file. Here a hidden frame takes the worker's place,
// so that the search works from file:// as well. Through a web server nothing of this is used.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const inner = this.frame.contentWindow
      const page = inner.document
      page.open()
      page.write(`<body><script>
        postMessage = (data) => parent.postMessage(data, "*")
        importScripts = (...urls) => urls.reduce((before, one) => before.then(() => new Promise((done, failed) => {
          const script = document.createElement("script")
          script.src = one; script.onload = done; script.onerror = failed
          document.body.appendChild(script)
        })), Promise.resolve())
      </` + `script><script src="${new URL(url, location)}"></` + `script>`)
      page.close()
      addEventListener("message", (event) => {
        if (event.source !== inner) return
        const copy = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(copy)
        if (this.onmessage) this.onmessage(copy)
      })
      this.ready = new Promise((done) => this.frame.addEventListener("load", done, { once: true }))
    }
    postMessage(data) {
      this.ready.then(() => {
        const inner = this.frame.contentWindow
        inner.dispatchEvent(new inner.MessageEvent("message", { data, source: window }))
      })
    }
    terminate() {
      this.frame.remove()
    }
  }
}
