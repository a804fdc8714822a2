"use strict";
// Zooms all drawings together: the wheel with Ctrl or Shift, or + and -, dragging moves, a double click shows all.
(() => {
  const drawings = [...document.querySelectorAll("svg.zoom")];
  const axis = document.querySelector(".axis");
  if (!drawings.length) return;
  const seconds = Number(axis.dataset.seconds);
  const whole = drawings[0].viewBox.baseVal.width;
  let from = 0, width = whole;
  const told = (at, step) => {
    const rest = (at % 60).toFixed(step < 1 ? 1 : 0), minutes = Math.floor(at / 60) % 60, hours = Math.floor(at / 3600);
    if (at < 60) return rest + " s";
    return (hours ? hours + " h " : "") + minutes + " min" + (step < 60 ? " " + rest + " s" : "");
  };
  const show = () => {
    width = Math.min(whole, Math.max(whole / 5000, width));
    from = Math.min(whole - width, Math.max(0, from));
    for (const drawing of drawings) {
      const box = drawing.viewBox.baseVal;
      drawing.setAttribute("viewBox", `${from} 0 ${width} ${box.height}`);
    }
    const first = from / whole * seconds, shown = width / whole * seconds;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400]
      .find(one => shown / one <= 9) || shown / 8;
    axis.replaceChildren();
    for (let at = Math.ceil(first / step) * step; at <= first + shown; at += step) {
      const tick = document.createElement("span");
      tick.style.left = (at - first) / shown * 100 + "%";
      tick.textContent = told(at, step);
      axis.append(tick);
    }
  };
  const zoom = (factor, share) => {
    const at = from + width * share;
    width *= factor;
    width = Math.min(whole, Math.max(whole / 5000, width));
    from = at - width * share;
    show();
  };
  for (const drawing of drawings) {
    const share = event => {
      const place = drawing.getBoundingClientRect();
      return (event.clientX - place.left) / place.width;
    };
    drawing.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, share(event));
    }, { passive: false });
    drawing.addEventListener("dblclick", () => { from = 0; width = whole; show(); });
    drawing.addEventListener("pointerdown", event => {
      const began = event.clientX, before = from;
      const move = now => {
        from = before - (now.clientX - began) / drawing.getBoundingClientRect().width * width;
        show();
      };
      const stop = () => {
        window.removeEventListener("pointermove", move);
        window.removeEventListener("pointerup", stop);
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", stop);
    });
  }
  for (const button of document.querySelectorAll("button[data-zoom]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const factor = Number(button.dataset.zoom);
      if (factor) { zoom(factor, 0.5); } else { from = 0; width = whole; show(); }
    });
  }
})();
