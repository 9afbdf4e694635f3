(function () {
  "use strict";
  var input = document.getElementById("filter");
  if (input) {
    var rows = Array.prototype.slice.call(document.querySelectorAll("[data-name]"));
    var count = document.getElementById("count");
    input.hidden = false;
    input.addEventListener("input", function () {
      var words = input.value.toLowerCase().split(/\s+/);
      var shown = 0;
      rows.forEach(function (row) {
        var text = row.getAttribute("data-name").toLowerCase();
        row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
        if (!row.hidden) { shown += 1; }
      });
      count.textContent = shown + " of " + rows.length + " images";
    });
  }
  // What a screen reader says of a copy: a change of a button is not read out everywhere.
  var said = {
    Copied: "The commands are copied.",
    Selected: "The commands are selected: press Ctrl-C to copy them.",
    Failed: "The commands could not be copied."
  };
  var status = document.createElement("p");
  status.className = "status";
  status.setAttribute("role", "status");
  document.querySelector("main").appendChild(status);
  Array.prototype.forEach.call(document.querySelectorAll(".copy"), function (box) {
    var text = box.querySelector("pre");
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy these commands");
    button.addEventListener("click", function () {
      var done = function (word) {
        button.textContent = word;
        button.setAttribute("aria-label", word);
        status.textContent = said[word];
        setTimeout(function () {
          status.textContent = "";
          button.textContent = "Copy";
          button.setAttribute("aria-label", "Copy these commands");
        }, 1500);
      };
      if (navigator.clipboard) {
        navigator.clipboard.writeText(text.textContent).then(function () { done("Copied"); }, function () { done("Failed"); });
        return;
      }
      var range = document.createRange();
      range.selectNodeContents(text);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      done("Selected");
    });
    box.appendChild(button);
    box.classList.add("has-button");
  });
})();
