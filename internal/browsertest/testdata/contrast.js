// Lists the texts of the page whose contrast with what is behind them is below
// what WCAG 2.2, success criterion 1.4.3, asks for: 4.5, and 3 for large text.
(() => {
  const parse = (text) => {
    const m = /^rgba?\((\d+), (\d+), (\d+)(?:, ([\d.]+))?\)$/.exec(text);
    if (!m) throw new Error("cannot read the colour " + text);
    return [+m[1], +m[2], +m[3], m[4] === undefined ? 1 : +m[4]];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3])).concat(1);
  // WCAG 2.2, "relative luminance" and "contrast ratio".
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (hi + 0.05) / (lo + 0.05);
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      if (getComputedStyle(e).backgroundImage !== "none" && e.tagName !== "SELECT") throw new Error("text over a picture: " + e.outerHTML.slice(0, 80));
      const c = parse(getComputedStyle(e).backgroundColor);
      layers.unshift(c);
      if (c[3] === 1) return layers.reduce((below, top) => over(top, below));
    }
    throw new Error("no background behind " + element.outerHTML.slice(0, 80));
  };
  const opacity = (element) => {
    let o = 1;
    for (let e = element; e; e = e.parentElement) o *= +getComputedStyle(e).opacity;
    return o;
  };
  const bad = new Set();
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const e = node.parentElement;
    const text = node.data.trim();
    if (!text || e.closest("script, style, option, title") || !e.checkVisibility({ checkVisibilityCSS: true, contentVisibilityAuto: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width <= 1 || e.closest(".visually-hidden")) continue;
    texts++;
    const style = getComputedStyle(e);
    const colour = parse(e.closest("svg") ? style.fill : style.color);
    const back = behind(e.closest("svg")?.parentElement ?? e);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || size >= 18.66 && +style.fontWeight >= 700;
    const got = ratio(over([colour[0], colour[1], colour[2], colour[3] * opacity(e)], back), back);
    if (got < (large ? 3 : 4.5)) bad.add(`${got.toFixed(2)} for “${text.slice(0, 40)}” in ${e.tagName.toLowerCase()}.${e.getAttribute("class") ?? ""}`);
  }
  return { texts, bad: [...bad] };
})()
