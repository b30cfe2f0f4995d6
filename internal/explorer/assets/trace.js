// What the page of a trace can do with a script: search at once, fold, zoom by dragging, and show the
// selected span beside the rows. Without it every link and form works.
(() => {
  "use strict";
  const root = () => document.getElementById("trace");
  if (!root()) return;
  const wide = matchMedia("(min-width: 1100px)");
  const rows = () => [...document.querySelectorAll(".waterfall :is(.span, .group)")];
  const visible = (r) => !r.hidden && !r.parentElement.closest(".group:not([open])") && !r.parentElement.closest("[hidden]");
  const key = (r) => r.id || r.dataset.span;
  const folded = new Set();
  let selected = "", focused = "";

  // Folding hides the rows beneath a span.
  const beneath = (r) => {
    const out = [];
    for (let n = r.nextElementSibling; n && +n.dataset.depth > +r.dataset.depth; n = n.nextElementSibling) out.push(n);
    return out;
  };
  const fold = () => {
    const hide = new Set();
    for (const r of document.querySelectorAll(".waterfall .span")) {
      const all = beneath(r), under = folded.has(key(r)) ? all : [];
      r.classList.toggle("parent", all.length > 0);
      r.classList.toggle("is-folded", under.length > 0);
      for (const n of under) hide.add(n);
      const label = r.querySelector(".folded");
      if (label) label.remove();
      if (!under.length) continue;
      const spans = under.flatMap((n) => n.matches(".span") ? [n] : [...n.querySelectorAll(".span")]);
      const failed = spans.filter((n) => n.matches(".failed")).length;
      const badge = document.createElement("span");
      badge.className = "badge folded" + (failed ? " bad" : "");
      badge.textContent = `▸ ${spans.length}` + (failed ? `, ${failed} failed` : "");
      r.querySelector(".wf-label").append(badge);
    }
    for (const n of document.querySelectorAll(".waterfall [data-depth]")) n.hidden = hide.has(n);
  };
  const setFold = (r, on) => {
    if (r.matches(".group")) { r.open = !on; return; }
    if (on) folded.add(key(r)); else folded.delete(key(r));
    fold();
  };

  // One row is a stop of the tab key; the arrows lead to the others.
  const stop = (r) => {
    if (!r) return;
    for (const s of document.querySelectorAll(".waterfall summary.wf-row")) s.tabIndex = -1;
    r.querySelector("summary").tabIndex = 0;
    focused = key(r);
  };
  const go = (r) => {
    if (!r) return;
    for (let g = r.parentElement.closest(".group"); g; g = g.parentElement.closest(".group")) g.open = true;
    stop(r);
    r.querySelector("summary").focus();
    if (selected && r.matches(".span")) select(r);
  };

  // The drawer shows the details of the selected span.
  const drawer = () => document.getElementById("drawer");
  const remember = (id) => {
    const u = new URL(location);
    if (id) u.searchParams.set("span", id); else u.searchParams.delete("span");
    u.hash = "";
    if (!u.pathname.endsWith("/file")) history.replaceState(null, "", u);
  };
  // The details of some rows of a large trace are on the page of their span.
  const complete = async (r) => {
    const more = r.querySelector(".span-detail[data-more] a");
    if (!more) return;
    const answer = await fetch(more.href);
    const full = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(`[data-span="${r.dataset.span}"] > .span-detail`);
    if (full && more.isConnected) r.querySelector(".span-detail").replaceWith(full);
    if (full && selected === key(r)) select(r);
  };
  document.addEventListener("toggle", (e) => { if (e.target.matches?.(".span[open]")) complete(e.target).catch(() => {}); }, true);

  const select = (r) => {
    for (const s of document.querySelectorAll(".span.selected")) s.classList.remove("selected");
    const d = drawer();
    selected = r ? key(r) : "";
    d.hidden = !r;
    document.getElementById("wf-layout").classList.toggle("with-drawer", !!r);
    if (!r) { remember(""); return; }
    r.classList.add("selected");
    r.open = false;
    const head = document.createElement("h2"), close = document.createElement("button");
    head.textContent = r.querySelector(".wf-label .name").textContent;
    close.type = "button"; close.className = "button small close"; close.textContent = "Close";
    close.addEventListener("click", () => { const at = document.querySelector(".span.selected"); select(null); go(at); });
    d.replaceChildren(close, head, r.querySelector(".span-detail").cloneNode(true));
    d.scrollTop = 0;
    complete(r).catch(() => {}); // the link stays, which shows them as well
    remember(r.dataset.span);
  };

  // swap loads another state of this page and takes over what differs; what was open, folded and
  // selected stays so.
  let turn = 0;
  const swap = async (href, push, known) => {
    const mine = ++turn;
    let next;
    try {
      const r = await fetch(href, { headers: { Accept: "text/html" } });
      if (!r.ok) throw new Error(r.statusText);
      next = new DOMParser().parseFromString(await r.text(), "text/html").getElementById("trace");
    } catch { next = null; }
    if (mine !== turn) return;
    if (known !== undefined && (!next || next.dataset.again === known)) return;
    if (!next) { location.assign(href); return; }
    if (push) history.pushState(null, "", href);
    const open = rows().filter((r) => r.open).map(key), field = document.querySelector("[data-find]");
    const at = document.activeElement, inside = at?.closest?.(".waterfall") ? focused : "", typing = at === field;
    const typed = field?.value, place = field?.selectionStart, y = scrollY;
    root().replaceWith(next);
    const again = document.querySelector("[data-find]");
    if (again && typing) { again.value = typed; again.focus(); again.setSelectionRange(place, place); }
    for (const r of rows()) if (open.includes(key(r))) r.open = true;
    set();
    scrollTo(scrollX, y);
    if (inside) rows().find((r) => key(r) === inside)?.querySelector("summary").focus({ preventScroll: true });
  };

  const set = () => {
    if (!document.querySelector(".waterfall")) return;
    document.dispatchEvent(new CustomEvent("changed", { detail: root() }));
    fold();
    document.getElementById("wf-layout").classList.add("scripted");
    for (const p of document.querySelectorAll(".wf-keys")) p.hidden = false;
    const all = rows();
    stop(all.find((r) => key(r) === focused) ?? all[0]);
    const asked = /^#span-(\w+)/.exec(location.hash)?.[1] ?? new URLSearchParams(location.search).get("span");
    const r = all.find((n) => n.dataset.span === asked) ?? all.find((n) => selected && key(n) === selected);
    if (r && wide.matches) { select(r); stop(r); } else if (selected) select(null);
  };

  document.addEventListener("click", (e) => {
    const link = e.target.closest("#trace a[href]");
    if (link && !e.defaultPrevented && e.button === 0 && !e.metaKey && !e.ctrlKey && !e.shiftKey && !e.altKey) {
      const to = new URL(link.href?.baseVal ?? link.href, location);
      if (to.pathname === location.pathname && link.closest(".wf-tools, .minimap, .wf-count, .origin, .shares, .ranges, .flame, .notice, .waterfall, .drawer") && !/^#/.test(link.getAttribute("href"))) {
        e.preventDefault();
        swap(to.href, true).then(() => document.getElementById(to.hash.slice(1))?.scrollIntoView({ block: "center" }));
      }
      return;
    }
    const s = e.target.closest("summary.wf-row");
    if (!s) return;
    const r = s.parentElement;
    stop(r);
    if (!r.matches(".span")) return;
    const caret = s.querySelector(".swatch").getBoundingClientRect().left;
    if (e.detail && e.clientX < caret - 1 && beneath(r).length) { e.preventDefault(); setFold(r, !folded.has(key(r))); return; }
    if (!wide.matches) return;
    e.preventDefault();
    select(selected === key(r) ? null : r);
  });

  let wait = 0;
  document.addEventListener("input", (e) => {
    const form = e.target.matches?.("[data-find]") && e.target.form;
    if (!form || form.id === "file") return;
    clearTimeout(wait);
    wait = setTimeout(() => {
      const q = new URLSearchParams(new FormData(form));
      if (!q.get("find")) { q.delete("find"); if (q.get("only") === "matches") q.delete("only"); }
      history.replaceState(null, "", location.pathname + "?" + q);
      swap(location.href, false);
    }, 120);
  });
  document.addEventListener("submit", (e) => {
    const next = e.target.matches(".wf-find") && document.querySelector(".wf-found a:nth-of-type(2)");
    if (!next || e.target.elements.find?.value !== new URLSearchParams(location.search).get("find")) return;
    e.preventDefault(); // what was typed is found already: Enter leads to the next span
    next.click();
  });
  window.addEventListener("popstate", () => { if (!location.hash) swap(location.href, false); });
  window.addEventListener("hashchange", () => {
    const r = document.getElementById(location.hash.slice(1))?.closest(".span");
    if (r && wide.matches) { select(r); go(r); }
  });

  const step = (r, by, fits = () => true) => {
    const all = rows().filter(visible), at = all.indexOf(r);
    for (let i = at + by; i >= 0 && i < all.length; i += by) if (fits(all[i])) return all[i];
    return null;
  };
  document.addEventListener("keydown", (e) => {
    if (e.defaultPrevented || e.metaKey || e.ctrlKey || e.altKey) return;
    const field = document.querySelector("[data-find]"), at = document.activeElement;
    if (at?.matches("input, select, textarea")) {
      if (e.key === "Escape" && at === field) { at.blur(); e.preventDefault(); }
      return;
    }
    const all = rows(), here = at?.closest?.(".waterfall") && at.closest(".span, .group");
    const r = here || all.find((n) => key(n) === focused);
    const keys = {
      "/": () => field?.focus(),
      j: () => go(here || selected ? step(r, 1) : r), k: () => go(step(r, -1)),
      "]": () => go(step(r, 1, (n) => n.matches(".failed"))), "[": () => go(step(r, -1, (n) => n.matches(".failed"))),
      n: () => document.querySelector(".wf-found a:nth-of-type(2)")?.click(), p: () => document.querySelector(".wf-found a:nth-of-type(1)")?.click(),
      Escape: () => { if (!selected) return false; const s = document.querySelector(".span.selected"); select(null); go(s); },
    };
    if (here) Object.assign(keys, {
      ArrowDown: keys.j, ArrowUp: keys.k, Home: () => go(all[0]), End: () => go(all.filter(visible).at(-1)),
      ArrowRight: () => { if (r.matches(".group:not([open])") || folded.has(key(r))) setFold(r, false); else go(step(r, 1)); },
      ArrowLeft: () => {
        if (r.matches(".group[open]") || r.matches(".span") && beneath(r).length && !folded.has(key(r))) setFold(r, true);
        else go(step(r, -1, (n) => +n.dataset.depth < +r.dataset.depth));
      },
    });
    if (!all.length || !keys[e.key] || keys[e.key]() === false) return;
    e.preventDefault();
  });

  // Dragging across the minimap shows that part of the time.
  document.addEventListener("pointerdown", (e) => {
    const map = e.target.closest(".map");
    if (!map || e.button || root().querySelector("#file") || document.getElementById("file")) return;
    const box = map.getBoundingClientRect(), length = +map.parentElement.dataset.length;
    const part = (x) => Math.min(1, Math.max(0, (x - box.left) / box.width));
    const from = part(e.clientX), mark = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    mark.setAttribute("class", "map-drag"); mark.setAttribute("height", 44);
    let to = from;
    const move = (m) => {
      to = part(m.clientX);
      mark.setAttribute("x", Math.min(from, to) * 100 + "%"); mark.setAttribute("width", Math.abs(to - from) * 100 + "%");
      if (Math.abs(to - from) > .005) map.append(mark);
    };
    const up = () => {
      removeEventListener("pointermove", move); removeEventListener("pointerup", up);
      mark.remove();
      if (Math.abs(to - from) < .005) return; // a click, which the link takes
      const drop = (c) => { c.preventDefault(); c.stopPropagation(); };
      addEventListener("click", drop, { capture: true });
      setTimeout(() => removeEventListener("click", drop, { capture: true }), 0);
      const u = new URL(location);
      u.searchParams.set("from", (Math.min(from, to) * length).toFixed(6) + "ms");
      u.searchParams.set("to", (Math.max(from, to) * length).toFixed(6) + "ms");
      u.hash = "";
      swap(u.href, true);
    };
    addEventListener("pointermove", move); addEventListener("pointerup", up);
    e.preventDefault();
  });

  // Spans may be on their way: look again, less and less often.
  const again = (after) => setTimeout(async () => {
    const before = root().dataset.again;
    if (before === undefined) return;
    const busy = document.activeElement?.matches("[data-find]") || document.hidden || getSelection().toString();
    if (!busy) await swap(location.href, false, before);
    if (after < 16000) again(after * 2);
  }, after);
  again(2000);
  set();
})();
