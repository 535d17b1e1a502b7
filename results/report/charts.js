// Curves over training, subjects, expert load.
const PALETTE = ['#2458c5', '#d1570c', '#1a7f37', '#8a3ffc', '#b5179e', '#0b7c8c', '#9a6700', '#c4252e'];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Checkpoints of one run of training share a name up to the step.
function seriesName(run) { return run.model.replace(/[-_ ]?(step|iter|ckpt|checkpoint|tokens)?[-_ ]?\d+([kKmMbBtT]?)$/, '') || run.model; }

let curveTask = 0, curveAxis = 'tokens', chart = null;
function curvePoints() {
  const axis = curveAxis === 'tokens' ? (r) => r.tokens : (r) => r.step;
  const series = new Map();
  DATA.runs.forEach((run, i) => {
    const result = DATA.tasks[curveTask].runs[i];
    if (axis(run) === null || !result || result.value === null) return;
    const name = seriesName(run) + (run.numerics === DATA.runs[0].numerics ? '' : ' ' + run.numerics);
    if (!series.has(name)) series.set(name, []);
    const k = scale(DATA.tasks[curveTask].unit);
    series.get(name).push({x: axis(run), y: result.value * k, low: result.low === null ? null : result.low * k,
      high: result.high === null ? null : result.high * k, label: run.label});
  });
  for (const points of series.values()) points.sort((a, b) => a.x - b.x);
  return series;
}
function drawCurves() {
  if (!DATA.runs.some((r) => r.step !== null)) { byId('curves').remove(); return; }
  if (!DATA.runs.some((r) => r.tokens !== null)) curveAxis = 'step';
  const task = DATA.tasks[curveTask];
  fill(byId('curve-controls'), choice('task', DATA.tasks.map((t, i) => [i, t.name]), curveTask, (v) => { curveTask = Number(v); drawCurves(); }),
    choice('over', [['tokens', 'training tokens'], ['step', 'training step']], curveAxis, (v) => { curveAxis = v; drawCurves(); }));
  const datasets = [];
  let index = 0;
  for (const [name, points] of curvePoints()) {
    const color = PALETTE[index++ % PALETTE.length];
    datasets.push({label: name, data: points, borderColor: color, backgroundColor: color, pointRadius: 4, tension: 0, borderWidth: 2});
    const band = points.filter((p) => p.low !== null);
    datasets.push({label: '', data: band.map((p) => ({x: p.x, y: p.high})), borderWidth: 0, pointRadius: 0, fill: '+1', backgroundColor: color + '22'});
    datasets.push({label: '', data: band.map((p) => ({x: p.x, y: p.low})), borderWidth: 0, pointRadius: 0});
  }
  if (chart) chart.destroy();
  const grid = css('--line'), text = css('--dim');
  const axis = (title) => ({type: 'linear', title: {display: true, text: title, color: text}, grid: {color: grid}, ticks: {color: text}});
  chart = new Chart(byId('curve-chart'), {type: 'line', data: {datasets}, options: {
    animation: false, maintainAspectRatio: false, parsing: false,
    scales: {x: axis(curveAxis === 'tokens' ? 'training tokens' : 'training step'), y: axis(task.name + (task.unit === 'percent' ? ' (%)' : ''))},
    plugins: {legend: {labels: {color: text, filter: (item) => item.text !== ''}},
      tooltip: {filter: (item) => item.dataset.label !== '', callbacks: {label: (item) => visible(item.raw.label) + ': ' + item.raw.y.toFixed(digits(task.unit))}}}}});
}
window.redrawCharts = () => { if (chart) drawCurves(); };

// Blue through white to orange, readable under black text.
function diverging(t) {
  const mix = (a, b, s) => a.map((v, i) => Math.round(v + (b[i] - v) * s));
  const c = t < 0.5 ? mix([120, 165, 235], [250, 250, 250], t * 2) : mix([250, 250, 250], [245, 165, 90], (t - 0.5) * 2);
  return 'rgb(' + c.join(',') + ')';
}
let subjectTask = -1;
function drawSubjects() {
  const tasks = DATA.tasks.map((t, i) => [i, t.name]).filter(([i]) => DATA.tasks[i].groups.length > 1);
  if (tasks.length === 0) { byId('subjects').remove(); return; }
  if (subjectTask < 0) subjectTask = tasks[0][0];
  fill(byId('subject-controls'), choice('task', tasks, subjectTask, (v) => { subjectTask = Number(v); drawSubjects(); }));
  const task = DATA.tasks[subjectTask];
  const all = task.groups.flatMap((g) => g.values.filter((v) => v !== null));
  const low = Math.min(...all), high = Math.max(...all);
  const rows = task.groups.map((g) => el('tr', {}, el('td', {}, g.name, el('span', {class: 'dim'}, '  ' + g.n)), ...g.values.map((v) => {
    if (v === null) return el('td', {style: 'background:transparent'}, '');
    const t = high > low ? (v - low) / (high - low) : 0.5;
    return el('td', {style: 'background:' + diverging(task.higher ? t : 1 - t)}, score(v, task.unit));
  })));
  fill(byId('subject-map'), el('table', {class: 'heat'}, el('thead', {}, el('tr', {}, el('th', {}, 'subject'), ...DATA.runs.map((r) => el('th', {}, r.label)))), el('tbody', {}, ...rows)));
}

let load = 0, loadWhat = 'tokens';
function drawExperts() {
  if (DATA.loads.length === 0) { byId('experts').remove(); return; }
  const names = DATA.loads.map((l, i) => [i, DATA.runs[l.run].label + ', ' + DATA.tasks[l.task].name]);
  fill(byId('expert-controls'), choice('run and task', names, load, (v) => { load = Number(v); drawExperts(); }),
    choice('show', [['tokens', 'times chosen'], ['weight', 'sum of weights']], loadWhat, (v) => { loadWhat = v; drawExperts(); }));
  const layers = DATA.loads[load].layers;
  const experts = Math.max(...layers.map((l) => l[loadWhat].length));
  const cell = Math.max(3, Math.min(26, Math.floor(1180 / experts))), height = Math.max(10, Math.min(26, cell));
  const canvas = el('canvas', {width: experts * cell, height: layers.length * height});
  const context = canvas.getContext('2d');
  let worst = [0, 0];
  layers.forEach((layer, y) => {
    const values = layer[loadWhat], sum = values.reduce((a, b) => a + b, 0), mean = sum / values.length || 1;
    values.forEach((v, x) => {
      const ratio = v / mean;  // 1 is a balanced expert; 2 and more is the end of the scale
      if (ratio > worst[0]) worst = [ratio, layer.layer];
      context.fillStyle = diverging(Math.min(1, ratio / 2));
      context.fillRect(x * cell, y * height, cell, height);
    });
  });
  const where = el('span', {class: 'dim'}, '');
  canvas.addEventListener('mousemove', (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * experts), y = Math.floor((event.clientY - box.top) / box.height * layers.length);
    const layer = layers[y];
    if (!layer || layer[loadWhat][x] === undefined) return;
    const sum = layer[loadWhat].reduce((a, b) => a + b, 0);
    where.textContent = 'layer ' + layer.layer + ', expert ' + x + ': ' + layer[loadWhat][x].toLocaleString('en') + ' (' +
      (layer[loadWhat][x] / sum * layer[loadWhat].length).toFixed(2) + ' × mean)';
  });
  fill(byId('expert-map'), el('p', {class: 'dim'}, 'Rows are layers ' + layers[0].layer + ' to ' + layers[layers.length - 1].layer + ', columns experts 0 to ' + (experts - 1) +
    '; colour is load over the layer\'s mean. Most loaded: ' + worst[0].toFixed(2) + ' × mean in layer ' + worst[1] + '.'),
    canvas, el('div', {class: 'legend'}, '0', el('i', {style: 'background:linear-gradient(90deg,' + diverging(0) + ',' + diverging(0.5) + ',' + diverging(1) + ')'}), '2 × mean', where));
}
drawCurves();
drawSubjects();
drawExperts();
