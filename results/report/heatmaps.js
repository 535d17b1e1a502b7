// Subjects and expert load.

// Blue through white to orange, readable under black text.
function diverging(t) {
  const mix = (a, b, s) => a.map((v, i) => Math.round(v + (b[i] - v) * s));
  const c = t < 0.5 ? mix([120, 165, 235], [250, 250, 250], t * 2) : mix([250, 250, 250], [245, 165, 90], (t - 0.5) * 2);
  return 'rgb(' + c.join(',') + ')';
}
// Needle in a haystack: length in tokens across, depth in percent down.
function drawGrids() {
  const maps = DATA.tasks.flatMap((task) => task.grids.map((grid, i) => [task, grid, DATA.runs[i]]).filter(([, grid]) => grid));
  if (maps.length === 0) { byId('grids').remove(); return; }
  fill(byId('grid-maps'), ...maps.map(([task, grid, run]) => el('div', {},
    el('h3', {}, task.name + ', ' + run.label + ': length in tokens across, depth in percent down'),
    el('div', {class: 'scroll'}, el('table', {class: 'heat'}, el('thead', {}, el('tr', {}, el('th', {}, 'depth'), ...grid.columns.map((c) => el('th', {}, c)))),
      el('tbody', {}, ...grid.cells.map((cells, r) => el('tr', {}, el('td', {}, grid.rows[r]), ...cells.map((v) => v === null ? el('td', {class: 'none'}, '')
        : el('td', {style: 'background:' + diverging(task.higher ? v : 1 - v)}, score(v, task.unit)))))))))));
}
let subjectTask = -1, subjectShow = 'score', subjectOrder = 'name';
function drawSubjects() {
  const tasks = DATA.tasks.map((t, i) => [i, t.name]).filter(([i]) => DATA.tasks[i].groups.length > 1);
  if (tasks.length === 0) { byId('subjects').remove(); return; }
  if (subjectTask < 0) subjectTask = tasks[0][0];
  const task = DATA.tasks[subjectTask], k = task.higher ? 1 : -1;
  const first = task.runs.findIndex((r) => r && r.value !== null);
  const change = subjectShow === 'change' && DATA.runs.length > 1;
  fill(byId('subject-controls'), choice('task', tasks, subjectTask, (v) => { subjectTask = Number(v); drawSubjects(); }),
    DATA.runs.length > 1 ? choice('show', [['score', 'score'], ['change', 'change from ' + DATA.runs[first].label]], subjectShow, (v) => { subjectShow = v; drawSubjects(); }) : null,
    choice('order', [['name', 'by name'], ['last', change ? 'by the last change' : 'by the last score']], subjectOrder, (v) => { subjectOrder = v; drawSubjects(); }));
  const shownOf = (g) => g.values.map((v) => v === null || (change && g.values[first] === null) ? null : change ? v - g.values[first] : v);
  const lines = task.groups.map((g) => [g, shownOf(g)]);
  if (subjectOrder === 'last') lines.sort(([, a], [, b]) => k * ((b.at(-1) ?? -Infinity) - (a.at(-1) ?? -Infinity)));
  const all = lines.flatMap(([, values]) => values.filter((v) => v !== null));
  const far = Math.max(...all.map(Math.abs), 1e-9);
  const low = change ? -far : Math.min(...all), high = change ? far : Math.max(...all);
  const rows = lines.map(([g, values]) => el('tr', {}, el('td', {}, g.name, el('span', {class: 'dim'}, '  ' + g.n)), ...values.map((v, i) => {
    if (v === null) return el('td', {class: 'none'}, '');
    const t = high > low ? (v - low) / (high - low) : 0.5;
    return el('td', {style: 'background:' + diverging(task.higher ? t : 1 - t), title: DATA.runs[i].label + ', ' + g.name + ': ' + score(g.values[i], task.unit) + ' (' + g.n + ' documents)'},
      change ? signed(v, task.unit) : score(v, task.unit));
  })));
  fill(byId('subject-map'), el('table', {class: 'heat'}, headRow(['subject', ...DATA.runs.map((r) => r.label)]), el('tbody', {}, ...rows)));
}

let load = 0, loadWhat = 'tokens';
function drawExperts() {
  if (DATA.loads.length === 0) { byId('experts').remove(); return; }
  const names = DATA.loads.map((l, i) => [i, DATA.runs[l.run].label + ', ' + DATA.tasks[l.task].name]);
  fill(byId('expert-controls'), choice('run and task', names, load, (v) => { load = Number(v); drawExperts(); }),
    choice('show', [['tokens', 'times chosen'], ['weight', 'sum of weights']], loadWhat, (v) => { loadWhat = v; drawExperts(); }));
  const layers = DATA.loads[load].layers.filter((l) => l[loadWhat].some((v) => v > 0));
  if (layers.length === 0) { fill(byId('expert-map'), el('p', {class: 'dim'}, 'No expert was chosen.')); return; }
  const experts = Math.max(...layers.map((l) => l[loadWhat].length));
  const gutter = 34, cell = Math.max(3, Math.min(26, Math.floor(1180 / experts))), height = Math.max(10, Math.min(26, cell));
  const width = gutter + experts * cell, tall = layers.length * height + 18, sharp = window.devicePixelRatio || 1;
  const canvas = el('canvas', {width: width * sharp, height: tall * sharp, style: 'width:' + width + 'px'});
  const context = canvas.getContext('2d');
  context.scale(sharp, sharp);
  context.font = '11px system-ui, sans-serif';
  let worst = [0, 0, 0], unused = 0;
  layers.forEach((layer, y) => {
    const values = layer[loadWhat], mean = values.reduce((a, b) => a + b, 0) / values.length;
    values.forEach((v, x) => {
      const ratio = v / mean;  // 1 is a balanced expert; 2 and more is the end of the scale
      if (ratio > worst[0]) worst = [ratio, layer.layer, x];
      if (v === 0) ++unused;
      context.fillStyle = diverging(Math.min(1, ratio / 2));
      context.fillRect(gutter + x * cell, y * height, cell - (cell > 8 ? 1 : 0), height - (height > 8 ? 1 : 0));
    });
    context.fillStyle = css('--dim');
    context.textAlign = 'right';
    if (height >= 12 || layer.layer % 2 === 0) context.fillText(layer.layer, gutter - 8, y * height + height / 2 + 4);
  });
  context.textAlign = 'left';
  const step = [1, 2, 4, 8, 16, 32, 64].find((s) => s * cell >= 26) || 64;
  for (let x = 0; x < experts; x += step) context.fillText(x, gutter + x * cell, layers.length * height + 13);
  const where = el('span', {class: 'dim'}, '');
  canvas.addEventListener('mousemove', (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width * width - gutter) / cell), y = Math.floor((event.clientY - box.top) / box.height * tall / height);
    const layer = layers[y];
    if (!layer || layer[loadWhat][x] === undefined) return;
    const sum = layer[loadWhat].reduce((a, b) => a + b, 0);
    where.textContent = 'layer ' + layer.layer + ', expert ' + x + ': ' + layer[loadWhat][x].toLocaleString('en') + ' (' +
      (layer[loadWhat][x] / sum * layer[loadWhat].length).toFixed(2) + ' × mean)';
  });
  fill(byId('expert-map'), el('p', {class: 'dim'}, 'Rows are layers, columns experts; colour is load over the layer\'s mean. Most loaded: ' + worst[0].toFixed(2) +
    ' × mean, expert ' + worst[2] + ' of layer ' + worst[1] + '. Never chosen: ' + unused + ' of ' + layers.length * experts + '.'),
    el('div', {class: 'scroll'}, canvas), el('div', {class: 'legend'}, '0', el('i', {style: 'background:linear-gradient(90deg,' + diverging(0) + ',' + diverging(0.5) + ',' + diverging(1) + ')'}), '2 × mean', where));
}
drawSubjects();
drawGrids();
drawExperts();
