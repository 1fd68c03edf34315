// No imports: hooks install eslint outside the repository, where none would be found.
const browser = ["window", "document", "console", "setTimeout", "clearTimeout"];
browser.push("setInterval", "clearInterval", "fetch", "URL", "URLSearchParams");
browser.push("Event", "CustomEvent", "MouseEvent", "Node", "Element", "DOMParser");
browser.push("SVGElement");
browser.push(
    "performance",
    "requestAnimationFrame",
    "cancelAnimationFrame",
    "getComputedStyle"
);
browser.push("ResizeObserver", "navigator", "location", "localStorage", "Blob");
const odoo = ["odoo", "owl", "luxon", "Chart", "describe", "test", "expect"];

const globals = Object.fromEntries(
    [...browser, ...odoo].map((name) => [name, "readonly"])
);

export default [
    {
        files: ["**/static/**/*.js"],
        languageOptions: {ecmaVersion: 2024, sourceType: "module", globals},
        linterOptions: {reportUnusedDisableDirectives: "error"},
        rules: {
            "array-callback-return": "error",
            "consistent-return": "error",
            curly: "error",
            "default-case-last": "error",
            "dot-notation": "error",
            eqeqeq: "error",
            "for-direction": "error",
            "getter-return": "error",
            "no-alert": "error",
            "no-async-promise-executor": "error",
            "no-class-assign": "error",
            "no-compare-neg-zero": "error",
            "no-cond-assign": "error",
            "no-console": "error",
            "no-const-assign": "error",
            "no-constant-condition": "error",
            "no-debugger": "error",
            "no-dupe-args": "error",
            "no-dupe-class-members": "error",
            "no-dupe-else-if": "error",
            "no-dupe-keys": "error",
            "no-duplicate-case": "error",
            "no-duplicate-imports": "error",
            "no-empty": "error",
            "no-eval": "error",
            "no-extend-native": "error",
            "no-fallthrough": "error",
            "no-func-assign": "error",
            "no-implied-eval": "error",
            "no-import-assign": "error",
            "no-inner-declarations": "error",
            "no-irregular-whitespace": "error",
            "no-loop-func": "error",
            "no-new-func": "error",
            "no-param-reassign": "error",
            "no-redeclare": "error",
            "no-return-assign": "error",
            "no-self-assign": "error",
            "no-self-compare": "error",
            "no-shadow": "error",
            "no-this-before-super": "error",
            "no-throw-literal": "error",
            "no-undef": "error",
            "no-unreachable": "error",
            "no-unsafe-finally": "error",
            "no-unsafe-optional-chaining": "error",
            "no-unused-expressions": "error",
            "no-unused-vars": "error",
            "no-use-before-define": ["error", {functions: false}],
            "no-useless-catch": "error",
            "no-useless-rename": "error",
            "no-var": "error",
            "object-shorthand": "error",
            "prefer-const": "error",
            "prefer-rest-params": "error",
            "prefer-template": "error",
            "require-yield": "error",
            "use-isnan": "error",
            "valid-typeof": "error",
        },
    },
    {
        files: ["*.mjs"],
        languageOptions: {ecmaVersion: 2024, sourceType: "module"},
    },
    {
        files: ["*.cjs"],
        languageOptions: {sourceType: "commonjs"},
    },
];
