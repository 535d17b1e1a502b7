// Scores over training: one large chart, and a small one of every task and group to choose from.
const PALETTES = {light: ['#2458c5', '#c2570c', '#1a7f37', '#8a3ffc', '#b5179e', '#0b7c8c', '#9a6700', '#c4252e'],
  dark: ['#7aa5ff', '#ff9d5c', '#4ac26b', '#b48cff', '#f078d8', '#3fc1d1', '#d9a03f', '#ff7b72']};
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const compact = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 2});
const CURVES = [];  // one entry a task or group: its series
for (const c of DATA.curves) {
  const same = CURVES.find((group) => group[0].key === c.key);
  if (same) same.push(c);
  else CURVES.push([c]);
}
const hasTokens = DATA.curves.length > 0 && DATA.curves.every((c) => c.points.every((p) => p.tokens !== null));
const curve = {task: 0, axis: hasTokens ? 'tokens' : 'step', smooth: true, band: 'item'};
let charts = [];

function seriesColor(name) {
  const names = [...new Set(DATA.curves.map((c) => c.series))];
  return PALETTES[document.documentElement.classList.contains('dark') ? 'dark' : 'light'][names.indexOf(name) % 8];
}
function datasetsOf(group, large) {
  const k = scale(group[0].unit), sets = [];
  for (const s of group) {
    const color = seriesColor(s.series), points = s.points.filter((p) => p[curve.axis] !== null);
    const line = (value, more) => ({label: '', data: points.map((p) => ({x: p[curve.axis], y: value(p) * k, point: p})), borderColor: color, backgroundColor: color,
      pointRadius: 0, borderWidth: 0, tension: 0, ...more});
    sets.push(line((p) => p.value, {label: s.series, pointRadius: large ? 4 : 2, borderWidth: curve.smooth ? 0 : large ? 2 : 1.5, showLine: !curve.smooth}));
    if (curve.smooth) sets.push(line((p) => p.smoothed, {borderWidth: large ? 2 : 1.5}));
    const half = curve.band === 'item' ? (p) => p.standard_error === null ? null : 1.96 * p.standard_error : s.noise === null ? () => null : () => 1.96 * s.noise;
    if (curve.band !== 'none' && points.length > 1 && points.every((p) => half(p) !== null)) {
      const centre = (p) => curve.smooth ? p.smoothed : p.value;
      sets.push(line((p) => centre(p) + half(p), {fill: '+1', backgroundColor: color + '1f'}), line((p) => centre(p) - half(p), {}));
    }
  }
  return sets;
}
function drawChart(canvas, group, large) {
  const grid = css('--line'), text = css('--dim'), unit = group[0].unit;
  const axis = (title, more) => ({type: 'linear', title: {display: large, text: title, color: text}, grid: {color: grid, drawBorder: false},
    ticks: {color: text, maxTicksLimit: large ? 9 : 4, font: {size: large ? 12 : 10}, ...more}});
  charts.push(new Chart(canvas, {type: 'line', data: {datasets: datasetsOf(group, large)}, options: {
    animation: false, maintainAspectRatio: false, parsing: false, events: large ? undefined : [],
    scales: {x: axis(curve.axis === 'tokens' ? 'training tokens' : 'training step', {callback: (v) => compact.format(v)}), y: {...axis(group[0].name + (unit === 'percent' ? ' (%)' : ''), {}), afterDataLimits: (s) => { s.min = Math.max(0, s.min); if (unit === 'percent') s.max = Math.min(100, s.max); }}},
    plugins: {legend: {display: large, align: 'end', labels: {color: text, usePointStyle: true, boxHeight: 6, filter: (item) => item.text !== ''}},
      tooltip: {filter: (item) => item.dataset.label !== '', callbacks: {title: () => '', label: (item) => {
        const p = item.raw.point, error = p.standard_error === null ? '' : ' ±' + (1.96 * p.standard_error * scale(unit)).toFixed(digits(unit));
        return visible(p.label) + ': ' + score(p.value, unit) + error;
      }}}}}}));
}
function drawCurves() {
  if (!DATA.curves.some((c) => c.points.length > 1)) { byId('curves').remove(); return; }
  charts.forEach((c) => c.destroy());
  charts = [];
  const group = CURVES[curve.task], again = (name) => (v) => { curve[name] = v; drawCurves(); };
  fill(byId('curve-controls'), choice('task', CURVES.map((g, i) => [i, g[0].name]), curve.task, (v) => { curve.task = Number(v); drawCurves(); }),
    hasTokens ? choice('over', [['tokens', 'training tokens'], ['step', 'training step']], curve.axis, again('axis')) : null,
    choice('line', [['1', 'smoothed'], ['', 'raw']], curve.smooth ? '1' : '', (v) => { curve.smooth = v === '1'; drawCurves(); }),
    choice('band', [['item', '95 % of the items'], ['noise', '95 % between checkpoints'], ['none', 'none']], curve.band, again('band')));
  drawChart(byId('curve-chart'), group, true);
  const facts = group.filter((s) => s.points.length > 1).map((s) => s.series + ': mean of the last ' + Math.min(5, s.points.length) + ' ' + score(s.last_mean, s.unit) +
    (s.noise === null ? ', noise between checkpoints unknown (needs four)' : ', noise between checkpoints ' + score(s.noise, s.unit)) +
    (s.signal_to_noise === null ? '' : ', signal to noise ' + s.signal_to_noise.toFixed(1)));
  fill(byId('curve-facts'), facts.join('. ') + '.');
  const small = CURVES.map((g, i) => {
    const canvas = el('canvas', {});
    const card = el('button', {class: 'small-chart' + (i === curve.task ? ' open' : ''), onclick: () => { curve.task = i; drawCurves(); }}, el('span', {}, g[0].name), el('div', {}, canvas));
    return [card, canvas, g];
  });
  fill(byId('curve-grid'), ...(CURVES.length > 1 ? small.map(([card]) => card) : []));
  if (CURVES.length > 1) for (const [, canvas, g] of small) drawChart(canvas, g, false);
}
window.redrawCharts = () => { drawCurves(); if (byId('experts')) drawExperts(); };
drawCurves();
