// node types.mjs FOLDER: writes check.ts, in which every dashboard of the folder is of the types that Grafana 13 publishes.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

const kinds = ['stat', 'bargauge', 'table', 'text', 'timeseries'];
const raw = './node_modules/schema13/dist/types/raw/composable';
const lines = [
  // A string of JSON may stand for a member of an enum.
  'type L<T> = T extends string ? `${T}` : T extends (infer U)[] ? L<U>[] : T extends object ? { [K in keyof T]: L<T[K]> } : T;',
  "import type { Dashboard } from 'schema13';",
  ...kinds.map(kind => `import type * as ${kind} from '${raw}/${kind}/panelcfg/x/types.gen';`),
];
// What Grafana reads and its published types lack: variables' definition, Prometheus's part of an annotation, and
// links of a panel, which they take for links of a dashboard.
const lacking = dash => {
  for (const variable of dash.templating.list) delete variable.definition;
  for (const marks of dash.annotations.list) for (const key of ['titleFormat', 'tagKeys', 'useValueForTime']) delete marks[key];
  for (const marks of dash.annotations.list) delete marks.target.expr, delete marks.target.interval;
  for (const panel of dash.panels) if (panel.type !== 'row') delete panel.links;
  return dash;
};
readdirSync(process.argv[2]).filter(file => file.endsWith('.json')).forEach((file, n) => {
  const dash = lacking(JSON.parse(readFileSync(`${process.argv[2]}/${file}`)));
  lines.push(`export const d${n}: L<Dashboard> = ${JSON.stringify(dash)};`);
  for (const panel of dash.panels.filter(one => one.type !== 'row')) {
    lines.push(`export const o${n}_${panel.id}: L<${panel.type}.Options> = ${JSON.stringify(panel.options)};`);
    const custom = panel.fieldConfig.defaults.custom;
    if (custom) lines.push(`export const f${n}_${panel.id}: L<${panel.type}.FieldConfig> = ${JSON.stringify(custom)};`);
  }
});
writeFileSync('check.ts', `${lines.join('\n')}\n`);
