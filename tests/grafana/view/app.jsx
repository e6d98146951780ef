// Shows one dashboard of grafana/dashboards with Grafana's published UI libraries, against a live Prometheus.
// Its address says what: ?dash=FILE&prom=URL&theme=dark|light&from=now-20m&scrape=15&var-NAME=VALUE
import React from 'react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import * as gd from '@grafana/data';
import * as gui from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import * as rt from '@grafana/runtime';
import * as S from '@grafana/scenes';
import { from } from 'rxjs';

const asked = new URLSearchParams(location.search);
const PROM = asked.get('prom');
const SCRAPE = Number(asked.get('scrape') || 15);
const dash = await (await fetch(asked.get('dash'))).json();
const theme = gd.createTheme({ colors: { mode: asked.get('theme') || 'dark' } });
let open = 0; // requests under way: the picture waits for them

async function get(path) {
  open += 1;
  try {
    const answer = await (await fetch(PROM + path)).json();
    if (answer.status !== 'success') throw new Error(answer.error);
    return answer.data;
  } finally { open -= 1; }
}

// --- field options, as Grafana's panels register them ---
const same = gd.identityOverrideProcessor;
const option = (id, process, defaultValue) => ({ id, path: id, name: id, isCustom: false, process, override: process, shouldApply: () => true, editor: () => null, settings: {}, category: ['Standard options'], defaultValue });
gd.standardFieldConfigEditorRegistry.setInit(() => [
  option('unit', gd.unitOverrideProcessor), option('min', gd.numberOverrideProcessor), option('max', gd.numberOverrideProcessor), option('fieldMinMax', same),
  option('decimals', gd.numberOverrideProcessor), option('displayName', gd.displayNameOverrideProcessor), option('color', same, { mode: 'thresholds' }), option('noValue', same),
  option('links', same), option('actions', same), option('mappings', gd.valueMappingsOverrideProcessor),
  option('thresholds', gd.thresholdsOverrideProcessor, { mode: 'absolute', steps: [{ value: -Infinity, color: 'green' }, { value: 80, color: 'red' }] }), option('filterable', same)]);
gd.standardEditorsRegistry.setInit(() => ['number', 'text', 'boolean', 'select', 'radio', 'unit', 'color', 'slider', 'multi-select', 'stats-picker', 'fieldName', 'strings', 'timezone', 'thresholds', 'mappings', 'links'].map(id => ({ id, name: id, editor: () => null })));
gd.standardTransformersRegistry.setInit(() => ['merge', 'organize', 'filterFieldsByName', 'renameByRegex', 'sortBy'].map(id => ({ id, name: id, transformation: Object.values(gd.standardTransformers).find(t => t.id === id), editor: () => null })));
const custom = defaults => ({ useCustomConfig: b => Object.entries(defaults).forEach(([id, defaultValue]) => b.addCustomEditor({ id, path: id, name: id, defaultValue, editor: () => null, override: () => null, process: same, shouldApply: () => true })) });
const LINES = { drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none', showPoints: 'auto', pointSize: 5, spanNulls: false, axisPlacement: 'auto', axisLabel: '', scaleDistribution: { type: 'linear' }, hideFrom: { tooltip: false, viz: false, legend: false }, thresholdsStyle: { mode: 'off' }, stacking: { mode: 'none', group: 'A' }, axisSoftMin: undefined, axisSoftMax: undefined, lineStyle: undefined, axisColorMode: 'text', axisBorderShow: false, fillBelowTo: undefined, insertNulls: false, barAlignment: 0, barWidthFactor: 0.6, axisCenteredZero: false, axisWidth: undefined, axisGridShow: undefined };
const CELLS = { width: undefined, minWidth: undefined, align: 'auto', cellOptions: { type: 'auto' }, inspect: false, filterable: false, hideFrom: { viz: false } };

// --- panels ---
const values = p => gd.getFieldDisplayValues({ fieldConfig: p.fieldConfig, reduceOptions: p.options.reduceOptions, replaceVariables: p.replaceVariables, theme, data: p.data.series, sparkline: p.options.graphMode === 'area', timeZone: 'utc' });
const Nothing = p => <div style={{ display: 'flex', height: '100%', alignItems: 'center', justifyContent: 'center', color: theme.colors.text.secondary }}>{p.fieldConfig.defaults.noValue || 'No data'}</div>;
const Stat = p => <gui.VizRepeater getValues={() => values(p)} source={p.data} width={p.width} height={p.height} itemSpacing={3} orientation={p.options.orientation || 'auto'} autoGrid={true} renderCounter={p.renderCounter}
  renderValue={({ value, width, height, count }) => <gui.BigValue value={value.display} count={count} sparkline={value.sparkline} colorMode={p.options.colorMode} graphMode={p.options.graphMode} justifyMode={p.options.justifyMode} textMode={p.options.textMode} text={p.options.text} disableWideLayout={!(p.options.wideLayout ?? true)} width={width} height={height} theme={theme} />} />;
const Bars = p => <gui.VizRepeater getValues={() => values(p)} getAlignmentFactors={gd.getDisplayValueAlignmentFactors} source={p.data} width={p.width} height={p.height} itemSpacing={p.options.displayMode === 'lcd' ? 2 : 10} orientation={p.options.orientation} minVizHeight={p.options.minVizHeight} maxVizHeight={p.options.maxVizHeight}
  renderValue={({ value, width, height, alignmentFactors }) => <gui.BarGauge value={value.display} field={value.field} display={value.view?.getFieldDisplayProcessor(value.colIndex)} alignmentFactors={alignmentFactors} orientation={p.options.orientation} displayMode={p.options.displayMode} showUnfilled={p.options.showUnfilled} valueDisplayMode={p.options.valueMode} namePlacement={p.options.namePlacement} width={width} height={height} theme={theme} text={p.options.text} itemSpacing={p.options.displayMode === 'lcd' ? 2 : 10} lcdCellWidth={12} />} />;
const Lines = p => !p.data.series.length ? <Nothing {...p} /> : <gui.PanelContextProvider value={{ eventsScope: 'global', eventBus: new gd.EventBusSrv(), sync: () => 0 }}><gui.TimeSeries frames={p.data.series} structureRev={p.data.structureRev || 1} timeRange={p.timeRange} timeZone="utc" width={p.width} height={p.height} legend={p.options.legend} options={p.options}>{() => null}</gui.TimeSeries></gui.PanelContextProvider>;
const Words = p => <div className="markdown-html" style={{ padding: 4 }} dangerouslySetInnerHTML={{ __html: gd.renderTextPanelMarkdown(p.options.content) }} />;
const Cells = p => { const frame = p.data.series[0]; frame?.fields.forEach(f => { f.state = { ...f.state, displayName: gd.getFieldDisplayName(f, frame) }; }); return !frame?.length ? <Nothing {...p} /> : <TableNG data={frame} width={p.width} height={p.height} cellHeight={p.options.cellHeight} noHeader={false} initialSortBy={p.options.sortBy} structureRev={1} fieldConfig={p.fieldConfig} timeRange={p.timeRange} />; };
for (const [kind, component, defaults] of [['stat', Stat, {}], ['bargauge', Bars, {}], ['timeseries', Lines, LINES], ['text', Words, {}], ['table', Cells, CELLS]])
  S.sceneUtils.registerRuntimePanelPlugin({ pluginId: `rt-${kind}`, plugin: new gd.PanelPlugin(component).useFieldConfig(custom(defaults)) });
class Heading extends S.SceneObjectBase { static Component = ({ model }) => <div style={{ ...theme.typography.h5, color: theme.colors.text.primary, padding: '4px 8px', margin: 0 }}>{model.state.title}</div>; }

// --- the data source ---
const seconds = text => { const found = /^(\d+)(ms|s|m|h|d)$/.exec(text || ''); return found ? found[1] * { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 }[found[2]] : 0; };
const pattern = v => Array.isArray(v) ? (v.length > 1 ? `(${v.join('|')})` : v[0]) : v;
const number = text => text === 'NaN' ? NaN : text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : +text;

class Prom extends S.RuntimeDataSource {
  async query(request) {
    const scene = request.scopedVars.__sceneObject.value.valueOf();
    const begin = request.range.from.unix(), end = request.range.to.unix();
    const frames = [];
    for (const target of request.targets) frames.push(...await this.one(target, scene, request, begin, end));
    return { data: frames, state: 'Done' };
  }
  async one(target, scene, request, begin, end) {
    const scrape = seconds(target.interval) || SCRAPE; // a query's "Min step" stands for the scrape interval
    const step = Math.max(request.intervalMs / 1000, scrape);
    const clock = { __rate_interval: `${Math.round(Math.max(step + scrape, 4 * scrape))}s`, __interval: `${Math.round(step)}s`, __range: `${end - begin}s` };
    const text = target.expr.replace(/\$(__rate_interval|__interval|__range)\b/g, (_, name) => clock[name]);
    const expression = S.sceneGraph.interpolate(scene, text, request.scopedVars, pattern);
    const query = encodeURIComponent(expression);
    if (target.instant) return this.instant(target, await get(`/api/v1/query?query=${query}&time=${end}`), end);
    const first = Math.ceil(begin / step) * step;
    return this.ordered(target, (await get(`/api/v1/query_range?query=${query}&start=${first}&end=${end}&step=${step}`)).result, first, end, step);
  }
  instant(target, data, end) {
    if (target.format === 'table') return [this.table(target, data.result)];
    return this.ordered(target, data.result.map(s => ({ ...s, values: [s.value] })), end, end, 1);
  }
  table(target, rows) {
    const keys = [...new Set(rows.flatMap(row => Object.keys(row.metric)))];
    const labels = keys.map(name => ({ name, type: gd.FieldType.string, values: rows.map(row => row.metric[name] ?? ''), config: {} }));
    if (!rows.length) return gd.toDataFrame({ refId: target.refId, fields: [] });
    const time = { name: 'Time', type: gd.FieldType.time, values: rows.map(row => row.value[0] * 1000), config: {} };
    return gd.toDataFrame({ refId: target.refId, fields: [time, ...labels, { name: `Value #${target.refId}`, type: gd.FieldType.number, values: rows.map(row => number(row.value[1])), config: {} }] });
  }
  ordered(target, series, first, end, step) { // with format heatmap: what is in each bucket, from what is at or below its edge
    const heat = target.format === 'heatmap';
    if (heat) series = series.slice().sort((a, b) => number(a.metric.le) - number(b.metric.le));
    const grids = series.map(one => { const at = new Map(one.values.map(([t, v]) => [Math.round(t * 1000), number(v)])); const times = []; for (let t = first; t <= end; t += step) times.push(Math.round(t * 1000)); return { times, numbers: times.map(t => at.get(t) ?? null) }; });
    const whole = grids.map(grid => grid.numbers.slice());
    if (heat) grids.forEach((grid, i) => { if (i) grid.numbers = grid.numbers.map((v, j) => v === null ? null : Math.max(0, v - (whole[i - 1][j] ?? 0))); });
    return series.map((one, i) => gd.toDataFrame({ refId: target.refId, meta: { type: 'timeseries-multi' }, fields: [{ name: 'Time', type: gd.FieldType.time, values: grids[i].times, config: { interval: step * 1000 } },
      { name: 'Value', type: gd.FieldType.number, values: grids[i].numbers, labels: one.metric, config: { displayNameFromDS: this.named(target, one.metric) } }] }));
  }
  named(target, labels) {
    if (target.legendFormat && target.legendFormat !== '__auto') return target.legendFormat.replace(/{{\s*(\w+)\s*}}/g, (_, key) => labels[key] || '');
    const { __name__, ...rest } = labels;
    return Object.keys(rest).length === 1 ? Object.values(rest)[0] : Object.keys(rest).length ? JSON.stringify(rest) : undefined;
  }
  async metricFindQuery(query, options) {
    const scene = options.scopedVars?.__sceneObject?.value?.valueOf();
    const text = S.sceneGraph.interpolate(scene, typeof query === 'string' ? query : query.query, undefined, pattern);
    const [, series, label] = /label_values\((?:(.*),)?\s*(\w+)\)/.exec(text);
    return (await get(`/api/v1/label/${label}/values?match[]=${encodeURIComponent(series)}`)).map(value => ({ text: value }));
  }
  async testDatasource() { return {}; }
}
S.sceneUtils.registerRuntimeDataSource({ dataSource: new Prom('prom-rt', 'prom') });

// --- the scene ---
const source = { uid: 'prom', type: 'prom-rt' };
const variable = v => {
  const given = asked.get(`var-${v.name}`);
  if (v.type === 'query') return new S.QueryVariable({ name: v.name, label: v.label, query: v.query, datasource: source, includeAll: v.includeAll, isMulti: v.multi, defaultToAll: v.includeAll && !given, allValue: v.allValue ?? undefined, refresh: 2, sort: v.sort, hide: v.hide, ...(given ? { value: given, text: given } : {}) });
  if (v.type === 'custom') return new S.CustomVariable({ name: v.name, label: v.label, query: v.query, value: given ?? v.current.value, text: given ?? v.current.text });
  return new S.CustomVariable({ name: v.name, label: v.label, query: 'Prometheus : prom', value: 'prom', text: 'Prometheus' });
};
const runner = p => {
  const queries = new S.SceneQueryRunner({ datasource: source, queries: p.targets, maxDataPoints: Math.round(p.gridPos.w * 50), minInterval: p.interval });
  return p.transformations?.length ? new S.SceneDataTransformer({ $data: queries, transformations: p.transformations }) : queries;
};
const panel = p => new S.VizPanel({ key: `panel-${p.id}`, pluginId: `rt-${p.type}`, title: p.title, description: p.description, options: p.options, fieldConfig: p.fieldConfig, displayMode: p.transparent ? 'transparent' : 'default', ...(p.targets?.length ? { $data: runner(p) } : {}) });
const item = p => new S.SceneGridItem({ x: p.gridPos.x, y: p.gridPos.y, width: p.gridPos.w, height: p.gridPos.h, body: p.type === 'row' ? new Heading({ title: p.title }) : panel(p) });
const scene = new S.EmbeddedScene({
  $timeRange: new S.SceneTimeRange({ ...dash.time, from: asked.get('from') || dash.time.from, timeZone: 'utc' }),
  $variables: new S.SceneVariableSet({ variables: dash.templating.list.map(variable) }),
  controls: [new S.VariableValueSelectors({}), new S.SceneControlsSpacer(), new S.SceneTimePicker({}), new S.SceneRefreshPicker({ refresh: dash.refresh })],
  body: new S.SceneGridLayout({ children: dash.panels.map(item) }),
});
try { rt.config.theme2 = theme; } catch (e) { /* read-only in some versions */ }
rt.setDataSourceSrv?.({ get: async () => { throw new Error('there is one data source'); }, getList: () => [], getInstanceSettings: () => undefined });
rt.setLocationSrv?.({ update() {} });
rt.setRunRequest?.((ds, request) => from(Promise.resolve(ds.query(request)).then(r => ({ ...r, state: 'Done', series: r.data, timeRange: request.range, request }))));
rt.setPluginImportUtils?.({ importPanelPlugin: async () => { throw new Error('unknown panel'); }, getPanelPluginFromCache: () => undefined });
class Caught extends React.Component { state = {}; static getDerivedStateFromError(error) { return { error }; } render() { return this.state.error ? <pre style={{ color: 'red' }}>{String(this.state.error.stack)}</pre> : this.props.children; } }
const height = Math.max(...dash.panels.map(p => p.gridPos.y + p.gridPos.h)) * 38 + 110;
document.body.style.background = theme.colors.background.canvas;
createRoot(document.getElementById('root')).render(<Caught><gd.ThemeContext.Provider value={theme}><gui.GlobalStyles /><MemoryRouter><div style={{ padding: 8, height, display: 'flex', flexDirection: 'column', background: theme.colors.background.canvas }}><scene.Component model={scene} /></div></MemoryRouter><gui.PortalContainer /></gd.ThemeContext.Provider></Caught>);

let quiet = 0;
const watch = setInterval(() => { quiet = open ? 0 : quiet + 1; if (quiet >= 12) { clearInterval(watch); document.title = 'done'; } }, 250);
