import fnmatch
import re
import tempfile
import unittest
from pathlib import Path

from _lib import cli, generated, packages, readme
from _lib.bootstrap import REPO
from _lib.suite import find_addons

# What an addon tells each kind of reader.
EVERYWHERE = (
    *("DESCRIPTION", "CONTEXT", "INSTALL", "CONFIGURE", "USAGE", "ROADMAP", "HISTORY"),
    "CREDITS",
)
MANIFEST = {"name": "An Addon", "version": "19.0.1.0.0"}


class TestGeneratedFiles(unittest.TestCase):
    def test_in_step(self):
        """Whoever changes a fragment or a manifest calls setup/readme."""
        found = generated.out_of_step(REPO)
        self.assertFalse(found, "\n".join(found.values()))

    def test_every_addon_has_a_readme(self):
        for name in find_addons([REPO]):
            self.assertTrue((REPO / name / "README.rst").exists(), name)
            page = REPO / name / "static" / "description" / "index.html"
            self.assertTrue(page.exists(), name)

    def test_every_addon_has_its_fragments(self):
        for name in find_addons([REPO]):
            if name.startswith("test_"):
                continue
            for fragment in EVERYWHERE:
                path = REPO / name / "readme" / ("%s.rst" % fragment)
                with self.subTest(path.relative_to(REPO)):
                    self.assertTrue(path.exists())

    def test_every_addon_has_an_icon_and_says_where_it_comes_from(self):
        for name in find_addons([REPO]):
            with self.subTest(name):
                credit = (REPO / name / "readme" / "CREDITS.rst").read_text()
                self.assertIn("https://github.com/OCA/queue", credit)
                if not name.startswith("test_"):
                    icon = REPO / name / "static" / "description" / "icon.png"
                    self.assertTrue(icon.exists())

    def test_no_fragment_is_forgotten(self):
        """A fragment of another name would be shown nowhere."""
        known = {"%s.rst" % fragment for fragment, _heading in readme.SECTIONS}
        for path in REPO.glob("*/readme/*.*"):
            self.assertIn(path.name, known)

    def test_pictures_exist(self):
        found = [
            path.parents[1] / picture
            for path in REPO.glob("*/readme/*.rst")
            for picture in re.findall(
                r"^\.\. image:: (.+)$", path.read_text(), re.MULTILINE
            )
        ]
        self.assertTrue(found)
        for picture in found:
            self.assertTrue(picture.exists(), picture)


class TestPages(unittest.TestCase):
    """What the Markdown pages name exists."""

    def pages(self):
        for path in (REPO / "README.md", *sorted((REPO / "setup").glob("*.md"))):
            yield path, path.read_text()

    def test_links_lead_to_files(self):
        for path, text in self.pages():
            for link in re.findall(r'\]\(([^)#]+)\)|src="([^"]+)"', text):
                target = "".join(link)
                if "://" not in target:
                    with self.subTest(path.name, link=target):
                        self.assertTrue((path.parent / target).exists())

    def test_modules_exist(self):
        names = re.findall(r"`([\w/]+\.py)`", (REPO / "README.md").read_text())
        self.assertGreater(len(names), 3)
        for name in names:
            with self.subTest(name):
                addon = REPO / "queue_job"
                places = (REPO / name, addon / name, addon / "tests" / name)
                self.assertTrue(any(place.exists() for place in places))

    def test_example_is_one_that_is_run(self):
        """The examples of the fragments are run by the tests of test_queue_job."""
        [example] = re.findall(
            r"```python\n(.+?)```", (REPO / "README.md").read_text(), re.DOTALL
        )
        fragment = (REPO / "queue_job" / "readme" / "DESCRIPTION.rst").read_text()
        for line in example.splitlines():
            with self.subTest(line):
                self.assertIn(line.partition("#")[0].strip(), fragment)

    def test_length_of_a_run_is_that_of_the_code(self):
        text = " ".join((REPO / "README.md").read_text().split())
        budget = self.constant("TIME_BUDGET = (.+)")
        share = self.constant(r"FILL = (.+) \* TIME_BUDGET")
        self.assertIn("as many as should take %g seconds" % (share * budget), text)
        self.assertIn("begins no further one after %g." % budget, text)

    def constant(self, pattern):
        """Return the number that one module of the addon has for a constant."""
        texts = [path.read_text() for path in (REPO / "queue_job").rglob("*.py")]
        [number] = [
            number
            for text in texts
            for number in re.findall("^%s$" % pattern, text, re.MULTILINE)
        ]
        return float(number)

    def test_table_has_the_tests_of_all_rooms(self):
        text = (REPO / "README.md").read_text().partition("Where the tests")[2]
        patterns = set(re.findall(r"`(test_\w+\*?)`", text.partition("Some things")[0]))
        patterns.discard("test_queue_job")
        modules = {
            path.stem
            for addon in ("queue_job", "test_queue_job")
            for path in (REPO / addon / "tests").glob("test_*.py")
        }
        named = {pattern: set(fnmatch.filter(modules, pattern)) for pattern in patterns}
        self.assertEqual([pattern for pattern in named if not named[pattern]], [])
        self.assertEqual(sorted(modules.difference(*named.values())), [])

    def test_messages_exist(self):
        code = "".join(path.read_text() for path in (REPO / "setup/_lib").glob("*.py"))
        text = (REPO / "setup" / "README.md").read_text()
        failures = text.partition("## When it fails")[2]
        found = re.findall(r"^\* \*(.+?)\*: ", failures, re.MULTILINE)
        self.assertGreater(len(found), 2)
        for message in found:
            self.assertTrue(message.removesuffix(" failed") in code, message)

    def test_commands_have_their_options(self):
        found = 0
        for path, text in self.pages():
            for name, rest in re.findall(r"\bsetup/(\w+)( [^`#\n]*)", text):
                if name not in cli.COMMANDS:
                    continue
                found += 1
                options = cli.COMMANDS[name][0]()._option_string_actions
                for option in re.findall(r" (--[a-z-]+)", rest):
                    with self.subTest(path.name, command=name):
                        self.assertIn(option, options)
        self.assertGreater(found, 10)

    def test_commands_exist(self):
        for path, text in self.pages():
            for name in re.findall(r"(?<![\w/])setup/[a-z]\w*(?![\w/])", text):
                with self.subTest(path.name, command=name):
                    self.assertTrue((REPO / name).exists())

    def test_addons_are_in_the_table(self):
        text = (REPO / "README.md").read_text()
        self.assertEqual(
            set(re.findall(r"^\| \[(\w+)\]", text, re.MULTILINE)),
            set(find_addons([REPO])),
        )


class TestReadme(unittest.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addon = Path(folder.name)
        self.fragments = self.addon / "readme"
        self.fragments.mkdir()
        self.write("DESCRIPTION", "It does **this**.")

    def write(self, fragment, text):
        (self.fragments / ("%s.rst" % fragment)).write_text(text + "\n")

    def make(self):
        texts = readme.files(self.addon, MANIFEST).values()
        return tuple(texts)

    def test_nothing_without_fragments(self):
        (self.fragments / "DESCRIPTION.rst").unlink()
        self.assertFalse(readme.files(self.addon, MANIFEST))

    def test_fragments_in_order_under_headings(self):
        self.write("CREDITS", "People.")
        self.write("USAGE", "Press it.")
        text, page = self.make()
        self.assertLess(text.index("Usage\n====="), text.index("Credits\n======="))
        self.assertIn("<strong>this</strong>", page)

    def test_checks_are_not_shown(self):
        self.write("USAGE", "Before.\n\n.. check\n\n   assert x\n\n   y()\n\nAfter.")
        text, _page = self.make()
        self.assertIn("Before.\n\nAfter.", text)

    def test_mistake_of_markup_is_an_error(self):
        self.write("USAGE", "See `nowhere`_.")
        with self.assertRaisesRegex(Exception, "nowhere"):
            self.make()

    def test_pictures_are_found_from_the_page(self):
        self.write("USAGE", ".. image:: static/description/a.png\n   :alt: A")
        text, page = self.make()
        self.assertIn("static/description/a.png", text)
        self.assertIn('src="a.png"', page)

    def test_news_come_before_the_last_release(self):
        self.write("HISTORY", "19.0.1.0.0\n~~~~~~~~~~\n\nFirst.")
        (self.fragments / "newsfragments").mkdir()
        (self.fragments / "newsfragments" / "7.feature").write_text("It\nflies.\n")
        text, _page = self.make()
        self.assertLess(text.index("* It flies."), text.index("First."))


class TestPackages(unittest.TestCase):
    def test_requirements_of_all_manifests(self):
        manifests = {
            "a": {"external_dependencies": {"python": ["requests", "Beta"]}},
            "b": {"external_dependencies": {"python": ["requests"]}},
            "c": {},
        }
        self.assertEqual(
            packages.requirements(manifests).splitlines()[1:], ["Beta", "requests"]
        )

    def test_metapackage_has_the_newest_version_and_no_tests(self):
        manifests = {
            "a": {"version": "19.0.9.0.0"},
            "b": {"version": "19.0.10.0.0"},
            "test_a": {"version": "19.0.1.0.0"},
        }
        text = packages.metapackage(manifests)
        self.assertIn('version = "19.0.10.0.0"', text)
        self.assertIn('"odoo-addon-a>=19.0.9,<19.1"', text)
        self.assertNotIn("test_a", text)

    def test_addon_that_needs_another_of_the_suite_needs_its_release(self):
        """A package of OCA has the same name."""
        manifests = {
            "a": {"version": "19.0.3.0.0", "depends": ["web"]},
            "b": {"version": "19.0.1.0.0", "depends": ["a", "web"]},
        }
        text = packages.pyproject("b", manifests)
        self.assertIn('a = "odoo-addon-a>=19.0.3,<19.1"', text)
        self.assertNotIn("web", text)
        self.assertNotIn("whool.depends", packages.pyproject("a", manifests))
