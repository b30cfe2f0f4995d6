// What the pages cannot do by themselves: copy, and open the span that a link points to. Everything else works without this file.
(() => {
  "use strict";

  // Copy. Buttons are hidden in the page and shown here, since without
  // JavaScript they would do nothing.
  const showCopy = (root) => {
    for (const b of root.querySelectorAll("[data-copy]")) b.hidden = !navigator.clipboard;
  };
  document.addEventListener("changed", (e) => showCopy(e.detail)); // a part of the page was replaced
  document.addEventListener("click", async (e) => {
    const b = e.target.closest("[data-copy]");
    if (!b) return;
    const label = b.dataset.label ?? (b.dataset.label = b.textContent);
    try {
      await navigator.clipboard.writeText(b.dataset.copy);
      b.textContent = "Copied";
    } catch {
      b.textContent = "Copying was refused";
    }
    setTimeout(() => { b.textContent = label; }, 1500);
  });

  // A link to a span or a check opens it.
  const openTarget = () => {
    const to = /^#(span|check)-/.exec(location.hash);
    if (!to) return;
    const el = document.getElementById(location.hash.slice(1));
    if (!el) {
      // A large trace does not show all its spans at once: ask for this one.
      const q = new URLSearchParams(location.search), id = location.hash.slice("#span-".length);
      if (to[1] === "span" && /\/traces\/[0-9a-f]{32}$/.test(location.pathname) && q.get("span") !== id) {
        q.set("span", id);
        location.replace(location.pathname + "?" + q + location.hash);
      }
      return;
    }
    el.open = true;
    el.scrollIntoView({ block: "nearest" });
  };
  window.addEventListener("hashchange", openTarget);

  // A run of the checklist: load the part that shows it again until it has ended. What
  // the person opened or closed stays so; the status is read out when it changes.
  const run = document.getElementById("checks-run");
  const follow = async () => {
    const again = run.querySelector("[data-again]");
    if (!again) return;
    try {
      const r = await fetch(again.dataset.again);
      if (!r.ok) throw new Error(r.statusText);
      const next = new DOMParser().parseFromString(await r.text(), "text/html").body;
      const inside = run.contains(document.activeElement) && document.activeElement.closest("[id]")?.id;
      for (const d of run.querySelectorAll("details[id][data-touched]")) {
        const fresh = next.querySelector("#" + CSS.escape(d.id));
        if (fresh) { fresh.open = d.open; fresh.dataset.touched = ""; }
      }
      run.replaceChildren(...next.childNodes);
      showCopy(run);
      if (inside) (document.getElementById(inside)?.querySelector("summary") ?? document.body).focus();
      const title = document.getElementById("h-verdict").textContent;
      const failed = run.querySelectorAll(".check.fail").length;
      const status = run.querySelector("[data-again]") ? (failed ? `${failed} failed so far` : "Running") : title;
      const out = document.getElementById("checks-status");
      if (out.textContent !== status) out.textContent = status;
    } catch { /* the explorer does not answer: it is asked again */ }
    setTimeout(follow, 400);
  };
  if (run) {
    run.addEventListener("click", (e) => {
      const d = e.target.closest("summary")?.parentElement;
      if (d) d.dataset.touched = "";
    });
    follow();
  }

  showCopy(document);
  openTarget();
})();
