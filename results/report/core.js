'use strict';
// The page. Data arrives as JSON; every string becomes text (textContent), never markup.
const DATA = JSON.parse(document.getElementById('summary-data').textContent);
const byId = (id) => document.getElementById(id);

// Control characters would vanish or act; they are shown as their pictures (U+2400...).
function visible(text) {
  return String(text).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g,
    (c) => c === '\u007f' ? '\u2421' : String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, (c) => '\\u{' + c.charCodeAt(0).toString(16) + '}');
}

// el('td', {class: 'good'}, child or text, ...)
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const child of children) {
    if (child === null || child === undefined) continue;
    node.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
  return node;
}
function fill(parent, ...children) { parent.replaceChildren(...children.filter((c) => c)); }

function choice(label, options, value, onchange) {
  const select = el('select', {onchange: () => onchange(select.value)},
    ...options.map(([v, name]) => el('option', {value: v, selected: String(v) === String(value) ? '' : null}, name)));
  return el('label', {}, label, select);
}

const scale = (unit) => unit === 'percent' ? 100 : 1;
const digits = (unit) => unit === 'percent' ? 1 : 3;
const score = (value, unit) => (value * scale(unit)).toFixed(digits(unit)).replace(/^-(0\.?0*)$/, '$1');
const signed = (value, unit) => { const t = score(value, unit); return t.startsWith('-') || !/[1-9]/.test(t) ? t : '+' + t; };
const pText = (p) => p === null ? '' : p < 0.001 ? '<0.001' : p >= 0.9995 ? '1' : p.toFixed(3);

function sectionRows(tasks, columns, row) {
  const rows = [];
  let category = null;
  for (const task of tasks) {
    if (task.category !== category) {
      category = task.category;
      rows.push(el('tr', {class: 'section'}, el('th', {colspan: columns}, category || 'Other')));
    }
    rows.push(row(task));
  }
  return rows;
}

function drawSummary() {
  const head = el('tr', {}, el('th', {}, 'task'), ...DATA.runs.map((run) => el('th', {}, run.label)));
  const rows = sectionRows(DATA.tasks, DATA.runs.length + 1, (task) => {
    const values = task.runs.map((r) => r && r.value !== null ? r.value : null);
    const present = values.filter((v) => v !== null);
    const best = present.length > 1 ? (task.higher ? Math.max(...present) : Math.min(...present)) : null;
    return el('tr', {class: 'hover'}, el('td', {}, task.name), ...task.runs.map((r, i) => {
      if (!r) return el('td', {class: 'dim'}, '–');
      if (r.errors > 0) return el('td', {class: 'warn'}, r.errors + ' errors');
      if (r.value === null) return el('td', {class: 'dim'}, 'running');
      const title = task.metric + ' ' + task.aggregation + ', n = ' + r.n + ', 95 % interval ' + r.interval +
        (r.low === null ? '' : ' ' + score(r.low, task.unit) + ' to ' + score(r.high, task.unit));
      return el('td', {title, class: values[i] === best ? 'bold' : null}, score(r.value, task.unit),
        r.low === null ? null : el('span', {class: 'pm'}, ' ±' + ((r.high - r.low) / 2 * scale(task.unit)).toFixed(digits(task.unit))));
    }));
  });
  fill(byId('score-table'), el('div', {class: 'scroll'}, el('table', {}, el('thead', {}, head), el('tbody', {}, ...rows))),
    el('p', {class: 'dim'}, '± is half of the 95 % interval; bold is the best value of a line, whether or not the difference is real: that is what the comparison tests.'));
}

let pair = 0;
function drawCompare() {
  if (DATA.comparisons.length === 0) { byId('compare').remove(); return; }
  const names = DATA.comparisons.map((c, i) => [i, DATA.runs[c.a].label + '  →  ' + DATA.runs[c.b].label]);
  fill(byId('compare-controls'), choice('A → B', names, pair, (v) => { pair = Number(v); drawCompare(); }));
  const c = DATA.comparisons[pair];
  if (c.error) { fill(byId('compare-table'), el('p', {class: 'warn'}, c.error)); return; }
  const head = el('tr', {}, ...['task', 'A', 'B', 'B − A', '95 % interval', 'p', 'adjusted', 'win / loss / tie', ''].map((t) => el('th', {}, t)));
  const rows = sectionRows(c.tasks, 9, (t) => {
    const tone = t.verdict === 'better' ? 'good bold' : t.verdict === 'worse' ? 'bad bold' : null;
    return el('tr', {class: 'hover'}, el('td', {}, t.name), el('td', {}, score(t.a, t.unit)), el('td', {}, score(t.b, t.unit)),
      el('td', {class: tone}, signed(t.difference, t.unit)),
      el('td', {}, t.low === null ? '' : '[' + signed(t.low, t.unit) + ', ' + signed(t.high, t.unit) + ']'),
      el('td', {title: t.test}, pText(t.p)), el('td', {}, pText(t.adjusted)), el('td', {}, t.win + ' / ' + t.loss + ' / ' + t.tie),
      el('td', {class: 'text'}, t.sentence + (t.unpaired ? '; ' + t.unpaired + ' documents not paired' : '')));
  });
  fill(byId('compare-table'),
    c.forced ? el('p', {class: 'warn'}, 'These runs are not alike: ' + c.differences.join('; ')) : null,
    c.notes.length ? el('p', {class: 'dim'}, c.notes.join('; ')) : null,
    el('div', {class: 'scroll'}, el('table', {}, el('thead', {}, head), el('tbody', {}, ...rows))),
    el('p', {class: 'dim'}, 'Paired by document. Adjusted: Benjamini-Hochberg over the tasks of this comparison.'));
}

function drawRuns() {
  const entry = (name, value) => value ? [el('dt', {}, name), el('dd', {title: value}, /^[0-9a-f]{64}$/.test(value) ? value.slice(0, 16) + '…' : value)] : [];
  fill(byId('run-cards'), el('div', {class: 'cards'}, ...DATA.runs.map((run) => el('div', {class: 'card'},
    el('h3', {}, run.label), el('dl', {}, ...entry('checkpoint', run.model), ...entry('architecture', run.architecture),
      ...entry('parameters', run.parameters), ...entry('training', run.training), ...entry('numerics', run.numerics + ', ' + run.profile),
      ...entry('weights', run.weights), ...entry('tokenizer', run.tokenizer), ...entry('version', run.version),
      ...entry('settings', run.settings), ...entry('identity', run.identity), ...entry('command', run.command))))));
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
drawSummary();
drawCompare();
drawRuns();
