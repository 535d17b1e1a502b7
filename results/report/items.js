// Documents: a list that draws only what is on the screen, filters, and one document in full. (No table
// library here: with DataTables and its Scroller 100,000 lines take a second to set up and another to sort.)
const ROW = 26;
let ITEMS = null, shown = [], current = -1;  // ITEMS: the documents of the task that is shown
const filter = {task: 0, a: 0, b: 0, verdict: 'all', group: '', text: '', order: ''};
if (DATA.comparisons.length) Object.assign(filter, {a: DATA.comparisons[pair].a, b: DATA.comparisons[pair].b});

// Thirteen bits in two characters (report.cpp packs them so), inflated and parsed when a task is first
// looked at: a page of many documents opens at once.
const DIGITS = new Uint8Array(128);
for (let c = 0x23, digit = 0; c < 0x7f; ++c) if (c !== 0x3c) DIGITS[c] = digit++;
function unpacked(text) {
  const bytes = new Uint8Array(Math.floor(text.length / 2 * 13 / 8));
  let bits = 0, held = 0, at = 0;
  for (let i = 0; i + 1 < text.length; i += 2) {
    bits = bits << 13 | (DIGITS[text.charCodeAt(i)] * 91 + DIGITS[text.charCodeAt(i + 1)]);
    held += 13;
    while (held >= 8) { held -= 8; bytes[at++] = bits >> held; }
    bits &= (1 << held) - 1;
  }
  return bytes.subarray(0, at);
}
const loaded = new Map();
async function loadTask(task) {
  if (loaded.has(task)) return loaded.get(task);
  const source = byId('items-' + task), bytes = unpacked(source.textContent);
  source.remove();
  const size = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | bytes[3] << 24;  // of what follows; the rest is padding
  const stream = new Blob([bytes.subarray(4, 4 + size)]).stream().pipeThrough(new DecompressionStream('deflate'));
  const items = JSON.parse(await new Response(stream).text());
  loaded.set(task, items);
  return items;
}
function textOf(index) {
  if (index === null || index < 0) return '';
  const [prefix, rest] = ITEMS.texts[index];
  return prefix < 0 ? rest : ITEMS.prefixes[prefix] + rest;
}
function markOf(task, run, i) {
  const column = ITEMS.runs[run];
  if (!column || !column.has[i]) return ['', 'dim'];
  if (column.error[i] >= 0) return ['!', 'warn'];
  const v = column.value[i];
  if (v === null) return ['', 'dim'];
  if (v === 1) return ['✓', 'good'];
  if (v === 0) return ['✗', 'bad'];
  return [v.toFixed(2), ''];
}
function applyFilter() {
  const table = ITEMS, a = table.runs[filter.a], b = table.runs[filter.b];
  const needle = filter.text.toLowerCase();
  shown = [];
  for (let i = 0; i < table.id.length; ++i) {
    if (filter.group !== '' && table.group[i] !== Number(filter.group)) continue;
    const va = a && a.has[i] ? a.value[i] : null, vb = b && b.has[i] ? b.value[i] : null;
    if (filter.verdict === 'flip' && (va === null || vb === null || va === vb)) continue;
    if (filter.verdict === 'up' && !(va !== null && vb !== null && vb > va)) continue;
    if (filter.verdict === 'down' && !(va !== null && vb !== null && vb < va)) continue;
    if (filter.verdict === 'right' && va !== 1) continue;
    if (filter.verdict === 'wrong' && va !== 0) continue;
    if (filter.verdict === 'error' && !((a && a.error[i] >= 0) || (b && b.error[i] >= 0))) continue;
    if (needle) {
      let found = table.id[i].toLowerCase().includes(needle) || ITEMS.texts[table.prompt[i]]?.[1].toLowerCase().includes(needle);
      for (const run of [a, b]) if (!found && run && run.has[i] && run.gen[i] >= 0) found = textOf(run.gen[i]).toLowerCase().includes(needle);
      if (!found) for (const o of table.options[i]) if (textOf(o).toLowerCase().includes(needle)) { found = true; break; }
      if (!found) continue;
    }
    shown.push(i);
  }
  if (filter.order !== '') {
    const value = (run, i) => run && run.has[i] ? run.value[i] : null;
    const keys = new Map(shown.map((i) => {
      const va = value(a, i), vb = value(b, i);
      return [i, filter.order === 'a' ? va : filter.order === 'b' ? vb : va === null || vb === null ? null : vb - va];
    }));
    const sign = filter.order === 'gain' ? -1 : 1;  // lowest first, but the largest gain
    shown.sort((x, y) => { const p = keys.get(x), q = keys.get(y); return p === q ? x - y : p === null ? 1 : q === null ? -1 : sign * (p - q); });
  }
  byId('item-space').style.height = shown.length * ROW + 'px';
  byId('item-list').scrollTop = 0;
  byId('item-count').textContent = shown.length.toLocaleString('en') + ' of ' + table.id.length.toLocaleString('en') + ' documents' +
    (table.left_out ? ' (' + table.left_out.toLocaleString('en') + ' more are in the store only)' : '');
  drawList();
  open(shown.length ? 0 : -1);
}
function drawList() {
  const list = byId('item-list'), space = byId('item-space'), table = ITEMS;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5), last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 10);
  const rows = [];
  for (let r = first; r < last; ++r) {
    const i = shown[r], [ta, ca] = markOf(DATA.tasks[filter.task], filter.a, i), [tb, cb] = markOf(DATA.tasks[filter.task], filter.b, i);
    rows.push(el('div', {class: 'item' + (r === current ? ' open' : ''), style: 'top:' + r * ROW + 'px', onclick: () => open(r)},
      el('span', {class: 'mark ' + ca}, ta), filter.a === filter.b ? null : el('span', {class: 'mark ' + cb}, tb), el('span', {}, table.id[i])));
  }
  space.replaceChildren(...rows);
}
function optionTable(table, i, runs) {
  if (table.options[i].length === 0) return null;
  const what = {generate: 'reference answer', rolling: 'window'}[DATA.tasks[filter.task].kind] || 'option';
  const head = el('tr', {}, el('th', {}, what), ...runs.flatMap((r) => [el('th', {}, DATA.runs[r].label), el('th', {}, 'a token')]));
  const best = runs.map((r) => { const lp = table.runs[r].lp[i]; return lp ? lp.indexOf(Math.max(...lp.map((v) => v === null ? -Infinity : v))) : -1; });
  const gold = visible(textOf(table.gold[i]));
  const rows = table.options[i].map((text, k) => el('tr', {class: gold === String.fromCharCode(65 + k) || textOf(text).trim() === gold ? 'gold' : null},
    el('td', {class: 'text'}, textOf(text)), ...runs.flatMap((r, n) => {
      const lp = table.runs[r].lp[i], tokens = table.runs[r].tokens[i];
      if (!lp || lp[k] === null || lp[k] === undefined) return [el('td', {}, ''), el('td', {}, '')];
      return [el('td', {class: best[n] === k ? 'bold' : null}, lp[k].toFixed(3)), el('td', {class: 'dim'}, tokens[k] > 0 ? (lp[k] / tokens[k]).toFixed(3) : '')];
    })));
  return el('div', {class: 'scroll'}, el('table', {class: 'options'}, el('thead', {}, head), el('tbody', {}, ...rows)),
    el('p', {class: 'dim'}, 'Log-probabilities in nats; bold is the highest sum.'));
}
function open(row) {
  current = row;
  drawList();
  const target = byId('item-detail');
  if (row < 0) { fill(target, el('p', {class: 'dim'}, 'Nothing fits the filters.')); return; }
  const i = shown[row], table = ITEMS, task = DATA.tasks[filter.task];
  const runs = [...new Set([filter.a, filter.b])].filter((r) => table.runs[r] && table.runs[r].has[i]);
  const verdicts = runs.map((r) => {
    const c = table.runs[r], [mark, tone] = markOf(task, r, i);
    return el('div', {}, el('b', {}, DATA.runs[r].label), ': ', el('span', {class: tone}, mark || '–'), ' ', task.metric + ' ' + (c.value[i] === null ? '–' : c.value[i]),
      c.pred[i] >= 0 ? el('span', {}, ', answered ', el('code', {}, textOf(c.pred[i]))) : null, c.tie[i] ? el('span', {class: 'warn'}, ', tie') : null,
      c.error[i] >= 0 ? el('span', {class: 'warn'}, ', error: ' + textOf(c.error[i])) : null, c.verdict[i] >= 0 ? el('span', {class: 'dim'}, ', ' + textOf(c.verdict[i])) : null);
  });
  const generations = runs.filter((r) => table.runs[r].gen[i] >= 0).map((r) => el('div', {}, el('h3', {}, DATA.runs[r].label, el('span', {class: 'dim'}, '  ' + table.runs[r].finish[i])),
    el('pre', {}, textOf(table.runs[r].gen[i]))));
  const prompt = el('pre', {}, textOf(table.prompt[i]));
  fill(target, el('h3', {}, table.id[i], el('span', {class: 'dim'}, table.groups[table.group[i]] ? '  ' + table.groups[table.group[i]] : '')),
    el('div', {}, 'gold ', el('code', {}, textOf(table.gold[i]))), ...verdicts, optionTable(table, i, runs),
    generations.length ? el('div', {class: 'pair'}, ...generations) : null, table.prompt[i] >= 0 ? el('h3', {}, 'prompt') : null, table.prompt[i] >= 0 ? prompt : null);
  prompt.scrollTop = prompt.scrollHeight;  // the question stands at the end
}
function drawControls() {
  const table = ITEMS;
  const runs = DATA.runs.map((r, i) => [i, r.label]);
  const search = el('input', {type: 'search', placeholder: 'search ids, questions, answers', size: 30});
  search.value = filter.text;
  let timer = 0;
  search.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(() => { filter.text = search.value; applyFilter(); }, 150); });
  fill(byId('item-controls'),
    choice('task', DATA.tasks.map((t, i) => [i, t.name]).filter(([i]) => DATA.tasks[i].embedded > 0), filter.task, (v) => { filter.task = Number(v); filter.group = ''; showTask(filter.task); }),
    choice('A', runs, filter.a, (v) => { filter.a = Number(v); applyFilter(); }),
    DATA.runs.length > 1 ? choice('B', runs, filter.b, (v) => { filter.b = Number(v); applyFilter(); }) : null,
    choice('show', [['all', 'all'], ['flip', 'changed from A to B'], ['up', 'better in B'], ['down', 'worse in B'], ['right', 'right in A'], ['wrong', 'wrong in A'], ['error', 'errors']], filter.verdict,
      (v) => { filter.verdict = v; applyFilter(); }),
    choice('order', [['', 'of the data'], ['a', 'lowest in A first'], ...(DATA.runs.length > 1 ? [['b', 'lowest in B first'], ['loss', 'largest fall first'], ['gain', 'largest rise first']] : [])], filter.order,
      (v) => { filter.order = v; applyFilter(); }),
    table.groups.length > 1 ? choice('subject', [['', 'all'], ...table.groups.map((g, i) => [i, g])], filter.group, (v) => { filter.group = v; applyFilter(); }) : null, search);
}
// From the comparison to the documents behind a line.
window.showFlips = (name, a, b) => {
  const task = DATA.tasks.findIndex((t) => t.name === name || t.name.startsWith(name + ' '));
  if (task < 0 || !DATA.tasks[task].embedded) return;
  Object.assign(filter, {task, a, b, verdict: 'flip', group: '', text: '', order: ''});
  showTask(task).then(() => byId('items').scrollIntoView());
};
byId('item-list').addEventListener('scroll', drawList);
byId('item-list').addEventListener('keydown', (event) => {
  const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
  if (!step || current + step < 0 || current + step >= shown.length) return;
  event.preventDefault();
  open(current + step);
  const list = byId('item-list'), top = current * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
});
fill(byId('nav'), ...[...document.querySelectorAll('main section')].map((s) => el('a', {href: '#' + s.id}, s.querySelector('h2').textContent)));
async function showTask(task) {
  try {
    const items = await loadTask(task);
    if (filter.task !== task) return;  // another one was chosen meanwhile
    ITEMS = items;
    drawControls();
    applyFilter();
  } catch (error) {
    fill(byId('item-detail'), el('p', {class: 'warn'}, 'The documents could not be unpacked: ' + error.message));
  }
}
filter.task = DATA.tasks.findIndex((t) => t.embedded > 0);
if (filter.task < 0) byId('items').remove();
else showTask(filter.task).then(() => { document.documentElement.dataset.ready = String(Math.round(performance.now())); });  // milliseconds; tests wait for it
