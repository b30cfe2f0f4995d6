// Rolls without leaving the page, remembers the rolls of this visit, and copies
// trace IDs. The page works without it: the form is an ordinary form, and the
// result shown here is the server's own, taken out of the page that it answers.
"use strict";

const form = document.getElementById("roll");
const button = document.getElementById("roll-button");
const label = button.querySelector("span");
const result = document.getElementById("result");
const historySection = document.getElementById("history");
const storeKey = "dicelab.rolls";
const mostRemembered = 50;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.getAttribute("aria-disabled") === "true") return;
  busy(true);
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "text/html" },
    });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const answer = page.getElementById("result");
    if (!answer) throw new Error(`the front end answered ${response.status}`);
    result.replaceChildren(...answer.childNodes);
    arm(result);
    const card = result.querySelector(".result");
    if (card) remember([{ ...card.dataset, at: Date.now() }, ...rolls].slice(0, mostRemembered));
  } catch (error) {
    tell(`The front end did not answer (${error.message}). See whether it still runs, then roll again.`);
  } finally {
    busy(false);
  }
});

// The button stays focusable while it is busy, so that the keyboard does not
// lose its place.
function busy(on) {
  button.setAttribute("aria-disabled", String(on));
  button.classList.toggle("busy", on);
  label.textContent = on ? "Rolling…" : "Roll";
}

function tell(text) {
  const p = document.createElement("p");
  p.className = "notice";
  p.setAttribute("role", "alert");
  p.textContent = text;
  result.replaceChildren(p);
}

function arm(root) {
  for (const copy of root.querySelectorAll(".copy")) {
    if (!navigator.clipboard) continue; // only over localhost or https
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(copy.dataset.copy);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "Copying was refused";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }
}

// Rolls live in memory; storage lets them survive a look at the trace.
let rolls = recall();

function recall() {
  try {
    const list = JSON.parse(sessionStorage.getItem(storeKey));
    return Array.isArray(list) ? list : [];
  } catch {
    return []; // storage is off, or holds something else
  }
}

function remember(list) {
  rolls = list;
  try {
    sessionStorage.setItem(storeKey, JSON.stringify(list));
  } catch {
    // storage is off: the list lives as long as the page
  }
  show();
}

function show() {
  historySection.hidden = rolls.length === 0;
  historySection.querySelector("ol").replaceChildren(...rolls.map(row));
}

function row(roll) {
  const li = document.createElement("li");
  const time = document.createElement("time");
  const at = new Date(roll.at);
  time.dateTime = at.toISOString();
  // In the zone of the server, as on every page of the lab.
  time.textContent = new Date(roll.at + 1000 * Number(historySection.dataset.offset)).toISOString().slice(11, 19);
  const what = document.createElement("span");
  what.className = "what";
  const badge = document.createElement("span");
  badge.className = roll.status ? "badge bad" : "badge ok";
  badge.textContent = roll.status ? `failed · ${roll.status}` : `rolled ${roll.value}`;
  what.append(badge, ` ${roll.die}`);
  li.append(time, what);
  if (roll.traceUrl) {
    const link = document.createElement("a");
    link.href = roll.traceUrl;
    link.textContent = roll.traceId.slice(0, 8);
    li.append(link);
  }
  return li;
}

document.getElementById("forget").addEventListener("click", () => {
  remember([]);
  form.querySelector("select").focus();
});

arm(document);
show();
