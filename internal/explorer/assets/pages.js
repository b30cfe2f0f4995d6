// What the data pages do with a script: refresh without moving what is read, lines as they
// come, a range of time by dragging, and keys. Everything else works without this file.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector), $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const parse = (text) => new DOMParser().parseFromString(text, "text/html");
  const changed = (root) => document.dispatchEvent(new CustomEvent("changed", { detail: root }));
  const keyOf = (row) => row.dataset.trace ? "trace-" + row.dataset.trace : row.id;
  const lists = "[data-list], [data-live=result] table.traces, [data-live=traces] table.traces";
  const rows = (root) => $$("[data-list] > [id], tr[data-trace]", root).filter((r) => !r.closest(".panel"));
  const say = document.body.appendChild(Object.assign(document.createElement("p"), { className: "visually-hidden", role: "status" }));

  // A reader who has scrolled, selected text or opened a row is not disturbed: what is new
  // waits behind a button.
  const reading = () => scrollY > 80 || !getSelection().isCollapsed || !!$("[data-list] > details[open]");
  const news = document.body.appendChild(Object.assign(document.createElement("button"), { type: "button", className: "button primary news", hidden: true }));
  const list = $(lists);
  let waiting = null;
  const hold = (n, show) => {
    waiting = show;
    news.hidden = n === 0;
    news.textContent = n ? `${n} new ${list?.dataset.list ?? "trace"}${n === 1 ? "" : "s"} ↑` : "";
    if (n) say.textContent = news.textContent;
  };
  news.addEventListener("click", () => {
    const show = waiting;
    hold(0, null);
    for (const d of $$("[data-list] > details[open]")) d.open = false;
    scrollTo({ top: 0 });
    show?.();
  });

  // patch takes a live part over and leaves the reader where he was.
  const patch = (part, fresh) => {
    const open = $$("details[open][id]", part).map((d) => d.id);
    const closed = $$("details[id]:not([open])", part).map((d) => d.id);
    const scrolled = $$(".panel-scroll, .scroll", part).map((s) => [s.scrollTop, s.scrollLeft]);
    const focus = part.contains(document.activeElement) ? document.activeElement : null;
    const again = focus && (focus.id ? "#" + CSS.escape(focus.id) : focus.getAttribute("href") ? `a[href="${CSS.escape(focus.getAttribute("href"))}"]` :
      focus.closest("[id]") ? "#" + CSS.escape(focus.closest("[id]").id) + " > summary" : "");
    const here = $(".row-here", part), was = here && keyOf(here);
    part.replaceChildren(...fresh.childNodes);
    if (was) rows(part).find((r) => keyOf(r) === was)?.classList.add("row-here");
    for (const id of open) { const d = document.getElementById(id); if (d) d.open = true; }
    for (const id of closed) { const d = document.getElementById(id); if (d) d.open = false; }
    $$(".panel-scroll, .scroll", part).forEach((s, i) => { if (scrolled[i]) [s.scrollTop, s.scrollLeft] = scrolled[i]; });
    if (again) $(again, part)?.focus({ preventScroll: true });
    charts(part);
    changed(part);
  };
  const take = (next) => {
    const known = new Set(rows(document).map(keyOf));
    const anchor = rows(document).find((r) => r.getBoundingClientRect().bottom > 60), was = anchor?.getBoundingClientRect().top, key = anchor && keyOf(anchor);
    for (const part of $$("[data-live]")) {
      const fresh = $(`[data-live="${part.dataset.live}"]`, next);
      if (fresh) patch(part, fresh);
    }
    if (known.size) for (const r of rows(document)) if (!known.has(keyOf(r))) r.classList.add("came");
    const still = scrollY > 80 && rows(document).find((r) => keyOf(r) === key);
    if (still) scrollBy(0, still.getBoundingClientRect().top - was);
  };

  // Auto refresh: load this page again and take over its live parts.
  const auto = $("[data-auto]"), every = 5000;
  let timer = 0, unanswered = false, busy = false;
  const mark = (on) => { if (auto) auto.textContent = unanswered ? "Auto refresh: the explorer does not answer" : on ? "Auto refresh: every 5 s" : "Auto refresh: off"; };
  const refresh = async () => {
    if (document.hidden || tailing || busy) return;
    let next;
    busy = true;
    try {
      next = parse(await (await fetch(location.href, { headers: { Accept: "text/html" } })).text());
      unanswered = false;
    } catch {
      unanswered = true;
      return mark(true);
    } finally {
      busy = false;
    }
    mark(!!timer);
    const known = new Set(rows(document).map(keyOf)), came = rows(next).filter((r) => !known.has(keyOf(r))).length;
    const quiet = !getSelection().isCollapsed || reading() && list;
    if (quiet) return hold(came, () => take(next));
    hold(0, null);
    take(next);
    if (came && known.size) say.textContent = `${came} new ${list?.dataset.list ?? "trace"}${came === 1 ? "" : "s"}`;
  };
  const set = (on) => {
    clearInterval(timer);
    timer = on ? setInterval(refresh, every) : 0;
    auto.setAttribute("aria-pressed", String(on));
    mark(on);
    try { sessionStorage.setItem("auto", on ? "1" : ""); } catch { /* storage is off: the choice lasts for this page */ }
  };

  // Live tail: lines as they are stored, newest on top.
  const tail = $("[data-tail]"), most = 1000;
  let tailing = null, held = [];
  const put = () => {
    const to = $("[data-list=line]");
    if (!to) return;
    const seen = new Set($$("[id]", to).map((r) => r.id));
    const fresh = held.filter((r) => !seen.has(r.id) && seen.add(r.id)).sort((a, b) => $("time", a).dateTime < $("time", b).dateTime ? 1 : -1);
    held = [];
    for (const r of fresh) r.classList.add("came");
    to.prepend(...fresh);
    while (to.children.length > most) to.lastElementChild.remove();
    changed(to);
    if (fresh.length) say.textContent = `${fresh.length} new line${fresh.length === 1 ? "" : "s"}`;
  };
  const follow = (on) => {
    tailing?.close();
    tailing = on ? new EventSource(tail.dataset.tail) : null;
    tail.setAttribute("aria-pressed", String(on));
    tail.textContent = on ? "Live tail: connecting" : "Live tail";
    if (!on) return;
    tailing.onopen = () => { tail.textContent = "Live tail: on"; };
    tailing.onerror = () => { tail.textContent = tailing?.readyState === 2 ? "Live tail was refused: too many, or the query has no lines" : "Live tail: connecting again"; };
    tailing.addEventListener("lines", (e) => {
      const end = e.data.indexOf("\n"), more = Number(end < 0 ? e.data : e.data.slice(0, end));
      if (!$("[data-list=line]")) return location.reload(); // the page had no list: now there are lines
      const shown = new Set($$("[data-list=line] > [id]").map((r) => r.id));
      held.push(...[...parse(e.data.slice(end + 1)).body.children].filter((r) => r.id && !shown.has(r.id)));
      if (held.length > most) held = held.slice(-most);
      if (more) tail.textContent = `Live tail: on, and ${more} more lines that came too fast`;
      if (reading()) hold(held.length, put);
      else put();
    });
  };
  if (tail && typeof EventSource === "function") {
    tail.hidden = false;
    tail.addEventListener("click", () => follow(!tailing));
  }

  // Choose a range of time in a chart: drag, or arrow keys with Shift and then Enter.
  const go = (a, b) => {
    const q = new URLSearchParams(location.search);
    for (const k of ["since", "limit"]) q.delete(k);
    q.set("start", new Date(Math.min(a, b)).toISOString());
    q.set("end", new Date(Math.max(a, b)).toISOString());
    location.assign(location.pathname + "?" + q);
  };
  function charts(root) {
    if ($("#time")) for (const plot of $$(".chart-plot[data-start]", root)) chart(plot);
  }
  const chart = (plot) => {
    const start = Number(plot.dataset.start), end = Number(plot.dataset.end), time = (share) => start + share * (end - start);
    plot.setAttribute("tabindex", "0");
    plot.setAttribute("aria-label", plot.getAttribute("aria-label") + ". Arrow keys move, with Shift they choose a range of time, Enter shows it.");
    let from = null, to = null, box = null;
    const draw = () => {
      box ??= plot.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "rect"));
      const low = Math.min(from, to);
      for (const [k, v] of Object.entries({ class: "chosen", x: low * 100 + "%", width: Math.max(.2, Math.abs(to - from) * 100) + "%", y: 0, height: Number(plot.getAttribute("height")) - 22 })) box.setAttribute(k, v);
      say.textContent = `${new Date(time(low)).toISOString().slice(11, 19)} to ${new Date(time(Math.max(from, to))).toISOString().slice(11, 19)} UTC`;
    };
    const clear = () => { box?.remove(); from = to = box = null; };
    const share = (e) => { const r = plot.getBoundingClientRect(); return Math.min(1, Math.max(0, (e.clientX - r.left) / r.width)); };
    plot.addEventListener("pointerdown", (e) => {
      if (e.button !== 0 || e.pointerType === "touch") return;
      const at = share(e), x = e.clientX;
      const move = (m) => {
        if (!box && Math.abs(m.clientX - x) < 6) return;
        m.preventDefault();
        from = at; to = share(m);
        draw();
      };
      const up = () => {
        removeEventListener("pointermove", move);
        if (box && Math.abs(to - from) > .002) {
          addEventListener("click", (c) => { c.preventDefault(); c.stopPropagation(); }, { capture: true, once: true });
          go(time(from), time(to));
        } else clear();
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", up, { once: true });
    });
    plot.addEventListener("dragstart", (e) => e.preventDefault());
    plot.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: -.02, ArrowRight: .02 }[e.key];
      if (step) {
        e.preventDefault();
        to = Math.min(1, Math.max(0, (to ?? 1) + step));
        if (!e.shiftKey || from === null) from = e.shiftKey ? Math.min(1, Math.max(0, to - step)) : to;
        draw();
      } else if (e.key === "Enter" && e.target === plot && box && from !== to) go(time(from), time(to));
      else if (e.key === "Escape" && box) { e.stopPropagation(); clear(); }
    });
  };

  // The values of an attribute, for its field.
  document.addEventListener("change", async (e) => {
    if (e.target.name !== "attr" || !e.target.value) return;
    const values = $("datalist", e.target.closest("fieldset"));
    try {
      const here = location.pathname.replace(/\/traces$/, "");
      const r = await fetch(`${here}/traces/values?attr=${encodeURIComponent(e.target.value)}`);
      if (r.ok) values.replaceChildren(...$$("option", parse(await r.text())));
    } catch { /* the field takes any text without them */ }
  });
  // Empty fields of a search do not stand in its address.
  document.addEventListener("formdata", (e) => {
    if (e.target.method !== "get") return;
    for (const k of new Set(e.formData.keys())) if (k !== "op" && e.formData.getAll(k).every((v) => v === "")) e.formData.delete(k);
    if (!e.formData.has("attr")) { e.formData.delete("op"); e.formData.delete("val"); }
  });

  // Keys.
  const keys = $("#keys"), button = $("[data-keys]");
  if (button) { button.hidden = false; button.addEventListener("click", () => keys.showModal()); }
  const step = (by) => {
    const all = rows(document).filter((r) => r.offsetParent), here = all.findIndex((r) => r.classList.contains("row-here"));
    const next = all[Math.min(all.length - 1, Math.max(0, here < 0 ? 0 : here + by))];
    if (!next) return;
    all[here]?.classList.remove("row-here");
    next.classList.add("row-here");
    ($("summary, a", next) ?? next).focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  };
  let g = false;
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || keys?.open) return;
    if (e.target.closest("input, select, textarea")) { if (e.key === "Escape") e.target.blur(); return; }
    const after = g;
    g = false;
    if (after) {
      const page = { o: "Overview", t: "Traces", l: "Logs", m: "Metrics", c: "Checklist" }[e.key];
      const link = e.key === "d" ? $("footer a[href$='/docs/']") : $$("header nav a").find((a) => a.textContent === page);
      if (link) { e.preventDefault(); link.click(); }
      return;
    }
    const click = (selector) => { const b = $(selector); b?.click(); return b; };
    const did = {
      "?": () => keys?.showModal() ?? true, g: () => g = true, j: () => rows(document).length && (step(1), true), k: () => rows(document).length && (step(-1), true),
      "/": () => { const s = $("[data-search]"); s?.focus(); s?.select(); return s; }, ".": () => click("[data-auto]"), r: () => auto && (refresh(), true),
      "<": () => click("#time-earlier"), ">": () => click("#time-later"), m: () => { const f = $("#marks form"); if (f) f.requestSubmit(); return f; },
    }[e.key];
    if (did?.()) e.preventDefault();
  });
  // A menu closes with Escape and when something else is pressed.
  document.addEventListener("keydown", (e) => {
    const pop = e.key === "Escape" && e.target.closest(".pop[open]");
    if (pop) { pop.open = false; $("summary", pop).focus(); }
  });
  document.addEventListener("click", (e) => { for (const pop of $$(".pop[open]")) if (!pop.contains(e.target)) pop.open = false; });

  charts(document);
  if (auto) {
    auto.hidden = false;
    let on = false;
    try { on = sessionStorage.getItem("auto") === "1"; } catch { /* as above */ }
    set(on);
    auto.addEventListener("click", () => { unanswered = false; set(auto.getAttribute("aria-pressed") !== "true"); });
  }
})();
