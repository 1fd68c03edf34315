# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import random

from odoo.tests import BaseCase

from ..channels.priority_queue import PriorityQueue


class TestPriorityQueue(BaseCase):
    def test_pops_the_smallest_first(self):
        queue = PriorityQueue()
        for number in (3, 1, 2):
            queue.add(number)
        self.assertEqual(len(queue), 3)
        self.assertEqual(queue[0], 1)
        self.assertEqual([queue.pop() for _ in range(4)], [1, 2, 3, None])

    def test_add_keeps_each_member_once(self):
        queue = PriorityQueue()
        queue.add(1)
        queue.add(1)
        self.assertEqual(len(queue), 1)
        self.assertEqual([queue.pop(), queue.pop()], [1, None])

    def test_removed_members_are_gone_and_may_come_back(self):
        queue = PriorityQueue()
        for number in (1, 2, 3):
            queue.add(number)
        queue.remove(1)
        queue.remove(7)
        self.assertNotIn(1, queue)
        self.assertEqual(queue[0], 2)
        queue.add(1)
        self.assertIn(1, queue)
        self.assertEqual([queue.pop() for _ in range(4)], [1, 2, 3, None])

    def test_none_is_refused(self):
        queue = PriorityQueue()
        with self.assertRaises(ValueError):
            queue.add(None)
        with self.assertRaises(ValueError):
            queue.remove(None)

    def test_only_the_first_item_can_be_read(self):
        queue = PriorityQueue()
        self.assertRaises(IndexError, queue.__getitem__, 0)
        queue.add(1)
        self.assertRaises(IndexError, queue.__getitem__, 1)

    def test_many_removals_leave_no_garbage(self):
        queue = PriorityQueue()
        for number in range(10_000):
            queue.add(number)
        for number in range(9_990):
            queue.remove(number)
        self.assertLess(len(queue._heap), 200)
        self.assertEqual([queue.pop() for _ in range(10)], list(range(9_990, 10_000)))

    def test_behaves_as_a_sorted_set(self):
        dice = random.Random(7)
        queue, model = PriorityQueue(), set()
        for _ in range(5_000):
            number = dice.randrange(300)
            if dice.random() < 0.5:
                queue.add(number)
                model.add(number)
            elif dice.random() < 0.8:
                queue.remove(number)
                model.discard(number)
            else:
                self.assertEqual(queue.pop(), min(model, default=None))
                model.discard(min(model, default=None))
            self.assertEqual(len(queue), len(model))
