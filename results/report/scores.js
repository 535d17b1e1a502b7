// Facts, scores, comparison, cards.
function drawFacts() {
  const documents = DATA.tasks.reduce((sum, t) => sum + t.documents, 0);
  const errors = DATA.tasks.reduce((sum, t) => sum + t.runs.reduce((s, r) => s + (r ? r.errors : 0), 0), 0);
  const running = DATA.tasks.reduce((sum, t) => sum + t.runs.filter((r) => r && r.value === null && r.errors === 0).length, 0);
  const fact = (number, what, tone) => el('div', {class: 'fact'}, el('b', {class: tone}, number), el('span', {}, what));
  const many = (n, one, more) => n === 1 ? one : more;
  const facts = [fact(DATA.runs.length, many(DATA.runs.length, 'run', 'runs')), fact(DATA.tasks.length, many(DATA.tasks.length, 'task', 'tasks')),
    fact(documents.toLocaleString('en'), many(documents, 'document a run', 'documents a run'))];
  if (errors) facts.push(fact(errors.toLocaleString('en'), 'without a verdict', 'warn'));
  if (running) facts.push(fact(running, many(running, 'evaluation unfinished', 'evaluations unfinished'), 'warn'));
  const last = DATA.comparisons.filter((c) => c.tasks).at(-1);
  if (last) {
    const count = (v) => last.tasks.filter((t) => t.verdict === v).length;
    facts.push(el('div', {class: 'fact wide'}, el('span', {}, DATA.runs[last.b].label + ' against ' + DATA.runs[last.a].label),
      el('span', {class: 'verdicts'}, el('b', {class: 'good'}, count('better') + ' better'), el('b', {class: 'bad'}, count('worse') + ' worse'),
        el('span', {class: 'dim'}, (count('unclear') + count('same')) + ' no difference found'))));
  }
  fill(byId('facts'), ...facts);
}

function drawSummary() {
  const rows = DATA.tasks.map((task) => {
    const values = task.runs.map((r) => r && r.value !== null ? r.value : null);
    const present = values.filter((v) => v !== null);
    const apart = present.length > 1 && Math.max(...present) > Math.min(...present);
    const best = apart ? (task.higher ? Math.max(...present) : Math.min(...present)) : null;
    return [task.category, el('tr', {class: 'hover'}, el('td', {}, task.name), ...task.runs.map((r, i) => {
      const none = (tone, text) => el('td', {class: tone, 'data-order': MISSING}, text);
      if (!r) return none('dim', '–');
      if (r.errors > 0) return none('warn', r.errors + ' errors');
      if (r.value === null) return none('dim', 'running');
      const title = task.metric + ' ' + task.aggregation + ', n = ' + r.n + ', 95 % interval ' + r.interval +
        (r.low === null ? '' : ' ' + score(r.low, task.unit) + ' to ' + score(r.high, task.unit));
      return el('td', {title, class: values[i] === best ? 'bold' : null, 'data-order': r.value * scale(task.unit)}, score(r.value, task.unit),
        r.low === null ? null : el('span', {class: 'pm'}, ' ±' + ((r.high - r.low) / 2 * scale(task.unit)).toFixed(digits(task.unit))));
    }))];
  });
  taskTable(byId('score-table'), ['task', ...DATA.runs.map((run) => run.label)], rows, [
    el('p', {class: 'dim'}, '± is half of the 95 % interval; bold is the best value of a line, whether or not the difference is real: that is what the comparison tests.')]);
}

// The difference with its interval, on one scale for all lines of a unit; the line in the middle is 0.
function forest(t, limit) {
  const width = 150, height = 20, x = (v) => (width / 2) * (1 + Math.max(-1, Math.min(1, v / limit)));
  const better = t.higher ? 1 : -1;
  const tone = t.verdict === 'better' ? 'good' : t.verdict === 'worse' ? 'bad' : 'none';
  const parts = [svg('line', {x1: width / 2, x2: width / 2, y1: 0, y2: height, class: 'zero'})];
  if (t.low !== null) parts.push(svg('line', {x1: x(better * t.low), x2: x(better * t.high), y1: height / 2, y2: height / 2, class: 'whisker ' + tone}));
  parts.push(svg('circle', {cx: x(better * t.difference), cy: height / 2, r: 4, class: 'dot ' + tone}));
  const picture = svg('svg', {width, height, viewBox: '0 0 ' + width + ' ' + height, role: 'img'}, ...parts);
  picture.setAttribute('aria-label', signed(t.difference, t.unit));
  return picture;
}
let pair = Math.max(0, DATA.comparisons.length - 1), verdicts = '';
function drawCompare() {
  if (DATA.comparisons.length === 0) { byId('compare').remove(); return; }
  const names = DATA.comparisons.map((c, i) => [i, DATA.runs[c.a].label + '  →  ' + DATA.runs[c.b].label]);
  const c = DATA.comparisons[pair];
  fill(byId('compare-controls'), choice('A → B', names, pair, (v) => { pair = Number(v); drawCompare(); }),
    c.error ? null : choice('show', [['', 'all tasks'], ['better', 'better in B'], ['worse', 'worse in B'], ['unclear', 'unclear'], ['same', 'the same']], verdicts, (v) => { verdicts = v; drawCompare(); }));
  if (c.error) { fill(byId('compare-table'), el('p', {class: 'warn'}, c.error)); return; }
  const limits = {};
  for (const t of c.tasks) limits[t.unit] = Math.max(limits[t.unit] || 0, Math.abs(t.difference), ...(t.low === null ? [] : [Math.abs(t.low), Math.abs(t.high)]));
  const rows = c.tasks.filter((t) => verdicts === '' || t.verdict === verdicts).map((t) => {
    const tone = t.verdict === 'better' ? 'good bold' : t.verdict === 'worse' ? 'bad bold' : null;
    const cell = (order, more, ...children) => el('td', {'data-order': order === null ? MISSING : order, ...more}, ...children);
    const k = scale(t.unit), gain = (t.higher ? 1 : -1) * t.difference;
    return [t.category, el('tr', {class: 'hover'}, el('td', {}, t.name), cell(t.a * k, {}, score(t.a, t.unit)), cell(t.b * k, {}, score(t.b, t.unit)),
      cell(gain * k, {class: tone}, signed(t.difference, t.unit)),
      cell(t.low, {class: 'dim'}, t.low === null ? '' : '[' + signed(t.low, t.unit) + ', ' + signed(t.high, t.unit) + ']'),
      cell(gain / (limits[t.unit] || 1), {class: 'forest'}, forest(t, limits[t.unit] * 1.05 || 1)),
      cell(t.p, {title: t.test}, pText(t.p)), cell(t.adjusted, {}, pText(t.adjusted)),
      cell(t.win - t.loss, {class: 'go', title: 'show the documents that changed', tabindex: 0, onclick: () => window.showFlips && window.showFlips(t.name, c.a, c.b),
        onkeydown: (e) => { if (e.key === 'Enter' && window.showFlips) window.showFlips(t.name, c.a, c.b); }},
        el('span', {class: t.win ? 'good' : 'dim'}, t.win), ' / ', el('span', {class: t.loss ? 'bad' : 'dim'}, t.loss), ' / ', el('span', {class: 'dim'}, t.tie)),
      el('td', {class: 'text'}, t.sentence.replace(/ \(p [^)]*\)/, '') + (t.unpaired ? '; ' + t.unpaired + ' documents not paired' : '')))];
  });
  taskTable(byId('compare-table'), ['task', 'A', 'B', 'B − A', '95 % interval', 'worse · better', 'p', 'adjusted', 'win / loss / tie', ''], rows, [
    el('p', {class: 'dim'}, 'Paired by document; the plot shows B − A with its 95 % interval, better to the right; wins and losses lead to their documents. Adjusted: Benjamini-Hochberg over the tasks of this comparison.')]);
  byId('compare-table').prepend(...[c.forced ? el('p', {class: 'warn'}, 'These runs are not alike: ' + c.differences.join('; ')) : null,
    c.notes.length ? el('p', {class: 'dim'}, c.notes.join('; ')) : null].filter((n) => n));
}

function drawRuns() {
  const entry = (name, value) => value ? [el('dt', {}, name), el('dd', {title: value}, /^[0-9a-f]{64}$/.test(value) ? value.slice(0, 16) + '…' : value)] : [];
  fill(byId('run-cards'), el('div', {class: 'cards'}, ...DATA.runs.map((run) => el('div', {class: 'card'},
    el('h3', {}, run.label), el('dl', {}, ...entry('checkpoint', run.model), ...entry('architecture', run.architecture),
      ...entry('parameters', run.parameters), ...entry('training', run.training), ...entry('numerics', run.numerics + ', ' + run.profile),
      ...entry('weights', run.weights), ...entry('tokenizer', run.tokenizer), ...entry('version', run.version),
      ...entry('settings', run.settings === '{}' ? '' : run.settings), ...entry('identity', run.identity), ...entry('command', run.command))))));
  fill(byId('task-cards'), el('h3', {}, 'Protocols and deviations'), el('div', {class: 'cards'}, ...DATA.tasks.map((task) => el('div', {class: 'card'},
    el('h3', {}, task.name), el('dl', {}, ...entry('task', task.task + ' @' + task.variant), ...entry('shots', String(task.shots)),
      ...entry('metric', task.metric + ', ' + task.aggregation), ...entry('documents', task.documents + (task.population > task.documents ? ' of ' + task.population : '')),
      ...entry('definition', task.definition), ...entry('data', task.data)),
    task.deviations.length ? el('ul', {}, ...task.deviations.map((d) => el('li', {}, d))) : null))));
}

function setTheme(dark) {
  document.documentElement.classList.toggle('dark', dark);
  if (window.redrawCharts) window.redrawCharts();
}
byId('theme').addEventListener('click', () => setTheme(!document.documentElement.classList.contains('dark')));
setTheme(window.matchMedia('(prefers-color-scheme: dark)').matches);
drawFacts();
drawSummary();
drawCompare();
drawRuns();
