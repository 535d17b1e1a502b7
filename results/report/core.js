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

// Tables of tasks: DataTables sorts and searches them. Its first column is hidden and holds the order of
// the table, in which lines stand under the heads of their sections; any other order leaves those out.
// Cells sort by data-order where they have it, missing values come last either way.
const MISSING = '';
for (const [name, sign] of [['value-asc', 1], ['value-desc', -1]])
  jQuery.fn.dataTable.ext.type.order[name] = (a, b) => a === b ? 0 : a === MISSING ? 1 : b === MISSING ? -1 : sign * (a - b);
const ownOrder = () => [[0, 'asc']];  // (DataTables keeps the array and writes into it)
// rows: [section, tr] each; returns DataTables' handle.
function taskTable(parent, titles, rows, after) {
  for (const old of parent.querySelectorAll('table.dataTable')) jQuery(old).DataTable().destroy();
  rows.forEach(([section, row], i) => { row.dataset.section = section || 'Other'; row.prepend(el('td', {}, i)); });
  const head = el('tr', {}, el('th', {}), ...titles.map((t) => el('th', {}, t)));
  const table = el('table', {class: 'data'}, el('thead', {}, head), el('tbody', {}, ...rows.map(([, row]) => row)));
  const unsort = el('button', {class: 'unsort', hidden: '', onclick: () => api.order(ownOrder()).draw()}, 'back to sections');
  const search = el('input', {type: 'search', placeholder: 'search tasks', size: 18, hidden: rows.length < 12 ? '' : null, oninput: () => api.column(1).search(search.value).draw()});
  fill(parent, el('div', {class: 'controls'}, search, unsort), el('div', {class: 'scroll', tabindex: 0}, table), ...after);
  const names = titles.map((t, i) => i + 1);
  const api = jQuery(table).DataTable({paging: false, info: false, autoWidth: false, dom: 't', order: ownOrder(), language: {zeroRecords: 'No task fits.'},
    columnDefs: [{targets: 0, visible: false}, {targets: 1, type: 'string', orderSequence: ['asc', 'desc']},
      {targets: names.slice(1), type: 'value', searchable: false, orderSequence: ['desc', 'asc']},
      {targets: names.filter((c) => titles[c - 1] === ''), orderable: false}],
    drawCallback() {
      const shown = this.api(), own = shown.order()[0][0] === 0;
      unsort.hidden = own;
      let last = null;
      if (own) for (const row of shown.rows({page: 'current'}).nodes().toArray()) {
        if (row.dataset.section !== last) row.before(el('tr', {class: 'section'}, el('th', {colspan: titles.length}, row.dataset.section)));
        last = row.dataset.section;
      }
    }});
  return api;
}
const headRow = (titles) => el('thead', {}, el('tr', {}, ...titles.map((t) => el('th', {}, t))));

// Elements of the SVG name space.
function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
