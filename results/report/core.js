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
const signed = (value, unit) => { const t = score(value, unit); return t.startsWith('-') ? '−' + t.slice(1) : /[1-9]/.test(t) ? '+' + t : t; };
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

// A click on a column's head sorts the lines (numbers by value, missing ones last), a second one turns
// them round, a third one brings the first order and its sections back.
function sortable(table) {
  const body = table.tBodies[0], original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  let column = -1, direction = 0, turned = false;
  const key = (row) => {
    const cell = row.cells[column];
    if (cell.dataset.sort !== undefined) return cell.dataset.sort === '' ? null : Number(cell.dataset.sort);
    const text = cell.textContent.trim(), number = parseFloat(text.replace('−', '-').replace('<', ''));
    return Number.isNaN(number) ? (text === '' || text === '–' ? null : text) : number;
  };
  heads.forEach((head, c) => {
    if (head.textContent === '') return;
    head.tabIndex = 0;
    head.classList.add('sorts');
    const act = () => {
      if (column !== c) { column = c; direction = c === 0 ? 1 : -1; turned = false; }
      else if (!turned) { direction = -direction; turned = true; }
      else column = -1;
      heads.forEach((h, i) => h.setAttribute('aria-sort', i !== column ? 'none' : direction > 0 ? 'ascending' : 'descending'));
      if (column < 0) { body.replaceChildren(...original); return; }
      const rows = original.filter((r) => !r.classList.contains('section')).map((r) => [key(r), r]);
      rows.sort(([a], [b]) => a === b ? 0 : a === null ? 1 : b === null ? -1 : direction * (typeof a === typeof b ? (a < b ? -1 : 1) : (typeof a === 'number' ? -1 : 1)));
      body.replaceChildren(...rows.map(([, r]) => r));
    };
    head.addEventListener('click', act);
    head.addEventListener('keydown', (e) => { if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); act(); } });
  });
  return table;
}
const scrolled = (table) => el('div', {class: 'scroll', tabindex: 0}, table);
const headRow = (titles) => el('thead', {}, el('tr', {}, ...titles.map((t) => el('th', {}, t))));

// Elements of the SVG name space.
function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
